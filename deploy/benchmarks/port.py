"""Loopback ports."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import suppress

LOWEST, ROOM = 10_500, 12_000
"""Linux takes the ports of connections from 32768 on (ip(7), ip_local_port_range)."""

_PATIENCE_S = 60.0
_POLL_S = 0.02


def free_port() -> int:
    """Find one on which nothing listens, below those that connections go out from: one of these may take it soon.

    So is the port 10,000 above, by which the servers of a Redis Cluster talk.
    """
    while True:
        port = LOWEST + secrets.randbelow(ROOM)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


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
