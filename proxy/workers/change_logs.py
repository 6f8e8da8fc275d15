"""Purges of several workers: their parent, which serves nobody, tells them in every log that any of them read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from proxy.cache.redis_tier import RedisTier
from proxy.domain.value_seal import ValueSeal
from proxy.grants.change_feed import ChangeFeed
from proxy.grants.change_log import ChangeLog
from proxy.grants.invalidation import Invalidations
from proxy.grants.purge import Purge, Purged, purged
from proxy.grants.redis_log import RedisLog
from proxy.redis.pubsub import PubSubChannel
from proxy.settings import Settings
from proxy.wiring.background import run_until_closed
from proxy.wiring.disk import file_log


@dataclass(slots=True)
class _Open:
    feed: ChangeFeed
    stack: AsyncExitStack
    uses: int = 0
    """So many pools of workers read this log, and so many purges are under way in it."""


class ChangeLogs:
    """One feed for each log that workers read; two while a reload changes Redis, seal or disk."""

    def __init__(self) -> None:
        self._open: dict[Hashable, _Open] = {}

    @asynccontextmanager
    async def read(self, settings: Settings) -> AsyncIterator[None]:
        """Tell purges in the log of these settings for as long as workers have them."""
        name = _name(settings)
        if name not in self._open:
            self._open[name] = _opened(settings)
        async with self._used(name):
            yield

    async def purge(self, purge: Purge) -> Purged:
        """Purge in all processes, and say what has been ended; raise BadRequest for what cannot be purged."""
        async with AsyncExitStack() as uses:
            feeds = [await uses.enter_async_context(self._used(name)) for name in [*self._open]]
            ended = await asyncio.gather(*(purged(feed, purge) for feed in feeds))
        return Purged(
            sum(each.processes for each in ended),
            sum(each.answers for each in ended),
            sum(each.pictures for each in ended),
            max((each.waiting for each in ended), default=0),
        )

    @asynccontextmanager
    async def _used(self, name: Hashable) -> AsyncIterator[ChangeFeed]:
        """Keep a feed open, and close it after its last use."""
        opened = self._open[name]
        opened.uses += 1
        try:
            yield opened.feed
        finally:
            opened.uses -= 1
            if not opened.uses:
                del self._open[name]
                await opened.feed.spread()  # other machines may read this log
                await opened.stack.aclose()


def _name(settings: Settings) -> Hashable:
    """Name the log that processes with these settings read, and the keys that its entries are sealed with."""
    redis, session = settings.redis, settings.session
    if redis.url is None:
        return settings.disk.path, session.state_path, settings.disk_keys
    return redis.url, redis.namespace, settings.site, tuple(key.get_secret_value() for key in settings.seal.keys)


def _opened(settings: Settings) -> _Open:
    stack = AsyncExitStack()
    log = _redis_log(settings, stack) if settings.redis.url is not None else file_log(settings, stack)
    name = log.name if log is not None else ""
    feed = ChangeFeed(log, Invalidations(time.time, log=name), time.monotonic)
    for work in (feed.follow(), _forget_purges(feed)):  # what could not be told is told later
        run_until_closed(work, stack)
    return _Open(feed, stack)


def _redis_log(settings: Settings, stack: AsyncExitStack) -> ChangeLog:
    seal = ValueSeal([key.get_secret_value() for key in settings.seal.keys])
    redis = RedisTier.from_settings(settings.redis, settings.site, seal=seal)
    stack.push_async_callback(redis.aclose)
    return RedisLog(redis, PubSubChannel(redis.connections, redis.namespace))


async def _forget_purges(feed: ChangeFeed) -> None:
    """Take off what workers drop: their parent keeps nothing itself."""
    while True:
        await feed.purges.get()
