"""Waiting for what happens in another process, which cannot tell us."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable

POLL_S = 0.02
LONGEST_S = 120.0
"""On a busy machine a gateway of several processes takes most of a minute to start."""


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it is so; TimeoutError when it takes too long."""
    async with asyncio.timeout(LONGEST_S):
        while not await is_so():  # noqa: ASYNC110 - see above
            await asyncio.sleep(POLL_S)


def listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until something listens on a port of loopback; False where the process ends or takes too long."""

    def is_open() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return does(process, is_open)


def does(process: subprocess.Popen[bytes], is_so: Callable[[], bool]) -> bool:
    """Wait until a process has done it; False where it ends or takes too long."""
    deadline = time.monotonic() + LONGEST_S
    while time.monotonic() < deadline and process.poll() is None:
        if is_so():
            return True
        time.sleep(POLL_S)
    return False
