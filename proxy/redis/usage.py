"""How full Redis is, asked from time to time: a scrape does not wait for Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from math import nan
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

STEP_S = 30.0
PATIENCE_S = 2.0
"""How long a server may take to answer."""


class Usage:
    """Sums over all servers. Not a number while one does not tell, as one that is away or forbids INFO."""

    def __init__(self, servers: Callable[[], Sequence[Redis]]) -> None:
        self._servers = servers
        self.used_bytes = nan
        self.max_bytes = nan
        """0 where there is no limit."""
        self.evictions = nan

    async def follow(self) -> None:
        """Ask for ever."""
        while True:
            await self.ask()
            await asyncio.sleep(STEP_S)

    async def ask(self) -> None:
        """Ask all servers once."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                told: list[dict[str, Any]] = [await server.info() for server in self._servers()]
        except (RedisError, OSError, TimeoutError):
            told = []
        self.used_bytes, self.max_bytes, self.evictions = (
            sum(float(each.get(name, nan)) for each in told) if told else nan
            for name in ("used_memory", "maxmemory", "evicted_keys")
        )
