"""Loopback ports."""

from __future__ import annotations

import asyncio
import socket

_PATIENCE_S = 60.0
_POLL_S = 0.02


def free_port() -> int:
    """Find one on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def answers(port: int) -> None:
    """Wait until something listens; raise TimeoutError when nothing does for long."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(_POLL_S)
                continue
            writer.close()
            return
