"""Counts the commands that a Redis is sent, those within scripts left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from yarl import URL

_QUIET_S = 0.3
_OTHERS = (b'"PING"', b'"INFO"', b'"CONFIG"', b'"XREAD"', b'"XINFO"', b'"SUBSCRIBE"', b'"MONITOR"')
"""What gateways ask for in the background."""


@dataclass(slots=True)
class Commands:
    """How many there were."""

    count: int = 0


@asynccontextmanager
async def monitored(redis_url: str) -> AsyncIterator[Commands]:
    """Count the commands that come within the block; complete when it has been left."""
    place, commands = URL(redis_url), Commands()
    reader, writer = await asyncio.open_connection(place.host, place.port)
    writer.write(b"MONITOR\r\n")
    await reader.readline()

    async def count() -> None:
        while line := await reader.readline():
            commands.count += b" lua]" not in line and not any(word in line.upper() for word in _OTHERS)

    counting = asyncio.create_task(count())
    try:
        yield commands
        await asyncio.sleep(_QUIET_S)
    finally:
        counting.cancel()
        await asyncio.wait({counting})
        writer.close()
