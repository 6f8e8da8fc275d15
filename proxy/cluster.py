"""One flight over all replicas: one of them leads and does the work, the others hear of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from proxy.cache.lease import Held, Leases
from proxy.cache.news import News

T = TypeVar("T")


class Cluster:
    """Shares work among the replicas of one Redis. While that is in trouble each does its own."""

    def __init__(self, leases: Leases, news: News) -> None:
        self._leases = leases
        self._news = news

    async def share(
        self,
        key: str,
        find: Callable[[bytes], Awaitable[T | None]],
        load: Callable[[], Awaitable[T]],
        tell: Callable[[T], bytes],
    ) -> T:
        """Give what one replica loads.

        `load` leaves its outcome where `find` looks, or in the message that `tell` writes and `find` is given. A leader
        that dies is succeeded when its lease runs out; one that fails, at once.
        """
        while True:
            with self._news.reader(key) as message:
                async with self._leases.attempt(key) as lease:
                    if lease.held is Held.MINE:
                        # It may have been done between our looking for it and our taking the lease.
                        landed = await find(b"") or await load()
                        lease.message = tell(landed)
                        return landed
                if lease.held is Held.UNKNOWN:
                    return await load()
                heard = await find(await self._next(key, message))
                if heard is not None:
                    return heard

    async def take_turns(self, key: str, work: Callable[[], Awaitable[T]], opens: Callable[[T], bool]) -> T:
        """Do work while no other replica does it, until an outcome that `opens` the way for all at once."""
        while True:
            with self._news.reader(key) as message:
                async with self._leases.attempt(key) as lease:
                    if lease.held is Held.MINE:
                        outcome = await work()
                        lease.message = b"open" if opens(outcome) else b""
                        return outcome
                if lease.held is Held.UNKNOWN or await self._next(key, message) == b"open":
                    return await work()

    async def _next(self, key: str, message: asyncio.Future[bytes]) -> bytes:
        """Wait until the leader has told how it ended, or has gone without a word."""
        while True:
            done, _ = await asyncio.wait({message}, timeout=self._news.poll_s)
            if done:
                return message.result()
            if not await self._leases.is_held(key):
                return b""


class Alone:
    """A cluster of one: there is no Redis."""

    async def share(
        self,
        _key: str,
        _find: Callable[[bytes], Awaitable[T | None]],
        load: Callable[[], Awaitable[T]],
        _tell: Callable[[T], bytes],
    ) -> T:
        """Load."""
        return await load()

    async def take_turns(self, _key: str, work: Callable[[], Awaitable[T]], _opens: Callable[[T], bool]) -> T:
        """Work."""
        return await work()
