"""Redis in trouble; what is at hand has to come from it, or anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deploy.drills.rehearsal import Drill, Stage

LITTLE = {"MEMORY__MAX_BYTES": "40000", "REDIS__PAUSE_S": "0.1"}
"""Memory that holds a few pictures."""


@asynccontextmanager
async def killed(stage: Stage, _: int) -> AsyncIterator[None]:
    """End it at once, and start it again, empty."""
    stage.redis.kill()
    yield
    await stage.redis.start()


@asynccontextmanager
async def stopped(stage: Stage, _: int) -> AsyncIterator[None]:
    """Let it hang: the kernel accepts connections, nobody answers."""
    stage.redis.stop()
    try:
        yield
    finally:
        stage.redis.go_on()


@asynccontextmanager
async def full(stage: Stage, _: int) -> AsyncIterator[None]:
    """Let it refuse every write for want of memory."""
    await stage.redis.command("CONFIG SET maxmemory 1")
    yield
    await stage.redis.command("CONFIG SET maxmemory 0")


@asynccontextmanager
async def emptied(stage: Stage, many: int) -> AsyncIterator[None]:
    """Restart it empty, many times."""
    for _ in range(many):
        stage.redis.kill()
        await stage.redis.start()
    yield


STORES = (
    Drill("Redis killed", killed, settings=LITTLE),
    Drill("Redis stopped", stopped, settings=LITTLE),
    Drill("Redis full", full, settings=LITTLE),
    Drill("Redis restarted empty", emptied, 20, 3, settings=LITTLE),
)
