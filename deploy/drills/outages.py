"""Cloudreve in trouble."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deploy.drills.rehearsal import Drill, Stage


@asynccontextmanager
async def killed(stage: Stage, _: int) -> AsyncIterator[None]:
    """End it at once, and start it again where it was, its thumbnails gone."""
    await stage.cloudreve.kill()
    yield
    await stage.cloudreve.start()


@asynccontextmanager
async def stopped(stage: Stage, _: int) -> AsyncIterator[None]:
    """Let it hang: the kernel accepts connections, nobody answers."""
    stage.cloudreve.stop()
    try:
        yield
    finally:
        stage.cloudreve.go_on()


@asynccontextmanager
async def slow(stage: Stage, _: int) -> AsyncIterator[None]:
    """Make every thumbnail take a minute."""
    async with _ordered(stage, "slow"):
        yield


@asynccontextmanager
async def garbage(stage: Stage, _: int) -> AsyncIterator[None]:
    """Let it answer every question with rubbish."""
    async with _ordered(stage, "garbage"):
        yield


@asynccontextmanager
async def flapping(stage: Stage, _: int) -> AsyncIterator[None]:
    """Let it be there and away, several times a second."""
    async with _ordered(stage, "flap"):
        yield


@asynccontextmanager
async def _ordered(stage: Stage, word: str) -> AsyncIterator[None]:
    stage.cloudreve.order(word)
    yield
    stage.cloudreve.order("well")


OUTAGES = (
    Drill("Cloudreve killed", killed),
    Drill("Cloudreve stopped", stopped),
    Drill("Cloudreve slow, 60 s a thumbnail", slow),
    Drill("Cloudreve answers garbage", garbage, is_garbled=True),
    Drill("Cloudreve flapping", flapping),
)
