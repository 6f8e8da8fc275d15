"""Leases in Redis: which of all replicas does a piece of work."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto

from redis.asyncio import Redis

from proxy.cache.line import Line
from proxy.cache.news import News

LEASE_S = 2.5
"""How long the others wait for a replica that has died."""
RENEW_S = LEASE_S / 3

_LEASE_MS = int(LEASE_S * 1000)
_RENEW = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
_RELEASE = """
if redis.call('get', KEYS[1]) == ARGV[1] then redis.call('del', KEYS[1]) end
return redis.call('publish', ARGV[2], ARGV[3])
"""


class Held(Enum):
    """Who holds a lease after an attempt to take it."""

    MINE = auto()
    OTHERS = auto()
    UNKNOWN = auto()
    """Redis is in trouble, so that nobody can say."""


@dataclass(slots=True)
class Lease:
    """The outcome of an attempt; whoever holds it may leave a message for those who wait."""

    held: Held
    message: bytes = b""


class Leases:
    """Leases under one prefix. Each holds a random token, so that a late replica cannot touch its successor's."""

    def __init__(self, client: Redis, line: Line, news: News, namespace: str) -> None:
        self._client = client
        self._line = line
        self._news = news
        self._prefix = f"{namespace}:lease:"

    @asynccontextmanager
    async def attempt(self, key: str) -> AsyncIterator[Lease]:
        """Try to take a lease. One that is ours is renewed inside the block; at its end it is let go and all are told.

        Leaving the block waits for nothing, so that the work done inside does not.
        """
        name, token = self._prefix + key, secrets.token_hex(16)
        reply = await self._line.ask(Held.UNKNOWN, self._client.set, name, token, nx=True, px=_LEASE_MS)
        if reply is Held.UNKNOWN or not reply:
            yield Lease(Held.UNKNOWN if reply is Held.UNKNOWN else Held.OTHERS)
            return
        lease, renewal = Lease(Held.MINE), asyncio.get_running_loop().create_task(self._renew(name, token))
        try:
            yield lease
        finally:
            renewal.cancel()
            self._line.send(self._client.eval, _RELEASE, 1, name, token, *self._news.written(key, lease.message))

    async def is_held(self, key: str) -> bool:
        """Tell whether anybody leads; false too while Redis is in trouble."""
        return bool(await self._line.ask(0, self._client.exists, self._prefix + key))

    async def _renew(self, name: str, token: str) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            await self._line.ask(0, self._client.eval, _RENEW, 1, name, token, _LEASE_MS)
