"""A machine that has run out of something."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress

from deploy.drills.crowds import staying
from deploy.drills.rehearsal import DESCRIPTORS, Drill, Stage

WATCHED_S = 1.0
_PIECE = b"\n" * 512


@asynccontextmanager
async def no_descriptors(stage: Stage, many: int) -> AsyncIterator[None]:
    """Leave the gateway none to open, and have visitors knock all the time."""
    stage.gateway.limit_descriptors(stage.gateway.descriptors)
    knocking = [asyncio.create_task(_knock(stage.gateway.port)) for _ in range(many)]
    try:
        async with stage.load.resting():
            before_s = stage.gateway.cpu_s
            await asyncio.sleep(WATCHED_S)
            stage.seen["CPU s idle"] = stage.gateway.cpu_s - before_s
        yield
    finally:
        for task in knocking:
            task.cancel()
        if not stage.gateway.has_ended:
            stage.gateway.limit_descriptors(DESCRIPTORS)


async def _knock(port: int) -> None:
    """Connect, be shown the door, and come again."""
    while True:
        with suppress(ConnectionError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                await reader.read()
        await asyncio.sleep(WATCHED_S / 4)


@asynccontextmanager
async def nothing_more(_: Stage, __: int) -> AsyncIterator[None]:
    """Change nothing: what is scarce has been from the beginning."""
    yield


@contextmanager
def full_disk() -> Iterator[int]:
    """Open a file that takes nothing."""
    log = os.open("/dev/full", os.O_WRONLY)
    yield log
    os.close(log)


@contextmanager
def unread_pipe() -> Iterator[int]:
    """Open a pipe that is full, and that nobody reads."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, _PIECE)
    except BlockingIOError:
        os.set_blocking(writing, True)
    yield writing
    os.close(reading)
    os.close(writing)


SCARCITY = (
    Drill("no file descriptors left", no_descriptors, 50, 10),
    Drill("256 descriptors, and visitors who stay", staying, 2000, 400, descriptors=256),
    Drill("disk full for the log", nothing_more, log=full_disk),
    Drill("nobody reads the log", nothing_more, log=unread_pipe),
)
