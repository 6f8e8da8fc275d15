"""Orders to several workers: their parent, which serves nobody, writes the log of changes that all of them read."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from functools import partial

from proxy.cache.redis_tier import RedisTier
from proxy.domain.value_seal import ValueSeal
from proxy.grants.change_feed import ChangeFeed
from proxy.grants.change_log import ChangeLog
from proxy.grants.invalidation import Invalidations
from proxy.grants.purge import purged
from proxy.grants.redis_log import RedisLog
from proxy.http.orders import Orders
from proxy.redis.pubsub import PubSubChannel
from proxy.settings import Settings
from proxy.wiring.background import run_until_closed
from proxy.wiring.disk import file_log


def orders(settings: Settings, stack: AsyncExitStack) -> Orders:
    """Make who takes orders for the workers; closed with the stack."""
    log = _redis_log(settings, stack) if settings.redis.url is not None else file_log(settings, stack)
    name = log.name if log is not None else ""
    feed = ChangeFeed(log, Invalidations(time.time, log=name), time.monotonic)
    for work in (feed.follow(), _forget_purges(feed)):  # what could not be told is told later
        run_until_closed(work, stack)
    return Orders(settings.admin, partial(purged, feed))


def _redis_log(settings: Settings, stack: AsyncExitStack) -> ChangeLog:
    seal = ValueSeal([key.get_secret_value() for key in settings.seal.keys])
    redis = RedisTier.from_settings(settings.redis, settings.site, seal=seal)
    stack.push_async_callback(redis.aclose)
    return RedisLog(redis, PubSubChannel(redis.lines, redis.namespace))


async def _forget_purges(feed: ChangeFeed) -> None:
    """Take off what workers drop: their parent keeps nothing itself."""
    while True:
        await feed.purges.get()
