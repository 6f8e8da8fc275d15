"""Builds the tiers, the singleflight of all processes, and what else Redis and the disk are used for."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from proxy.cache.memory_tier import MemoryTier
from proxy.cache.redis_tier import RedisTier
from proxy.cache.shared_values import SharedValues
from proxy.cache.tiers import Tiers
from proxy.coalesce.distributed_singleflight import DistributedSingleflight
from proxy.coalesce.work_sharing import WorkSharing
from proxy.domain.value_seal import ValueSeal
from proxy.grants.change_log import ChangeLog
from proxy.grants.redis_log import RedisLog
from proxy.redis.failures import RedisFailure
from proxy.redis.leases import Leases
from proxy.redis.pubsub import PubSubChannel
from proxy.wiring.disk import file_log, open_disk, share_work
from proxy.wiring.first_contact import try_out
from proxy.wiring.parts import Parts
from proxy.wiring.redis_usage import watched_usage


class Stores(NamedTuple):
    """Where one process reads and writes what outlives a request."""

    tiers: Tiers
    sharing: WorkSharing
    shared_values: SharedValues
    change_log: ChangeLog | None
    redis: RedisTier | None


async def stores(parts: Parts) -> Stores:
    """Build the tiers, and the singleflight of all replicas of one Redis, or of all processes of one disk."""
    settings, memory = parts.settings, _memory(parts)
    disk = await open_disk(parts)
    local = [disk] if disk is not None else []
    if settings.redis.url is None:
        sharing = share_work(settings, disk, parts.stack)
        shared_values = SharedValues(None, parts.clock.now, disk)
        return Stores(Tiers(memory, local), sharing, shared_values, file_log(settings, parts.stack), None)
    redis = await _redis(parts)
    pubsub = PubSubChannel(redis.connections, redis.namespace)
    await parts.background(pubsub.listen())
    leases, patience_s = Leases(redis.connections, pubsub, settings.redis.namespace), settings.server.deadline_s / 4
    distributed = DistributedSingleflight(leases, pubsub, redis.build_key, redis.seal, patience_s)
    shared_values = SharedValues(redis, parts.clock.now, disk)
    return Stores(Tiers(memory, local, redis), distributed, shared_values, RedisLog(redis, pubsub), redis)


def _memory(parts: Parts) -> MemoryTier:
    settings, metrics = parts.settings.memory, parts.metrics
    memory = MemoryTier(settings.max_bytes, parts.clock.timer)
    metrics.watch("memory_bytes", "Bytes held by the memory tier", lambda: memory.size_bytes)
    metrics.watch("memory_max_bytes", "memory.max_bytes", lambda: float(settings.max_bytes))
    about = "Entries that the memory tier gave up for others"
    metrics.watch_total("memory_evictions", about, lambda: float(memory.evictions))
    return memory


async def _redis(parts: Parts) -> RedisTier:
    settings, metrics = parts.settings, parts.metrics
    seal = ValueSeal([key.get_secret_value() for key in settings.seal.keys])
    last: deque[RedisFailure] = deque(maxlen=1)

    def observe(failure: RedisFailure) -> None:
        metrics.redis_trouble(failure)
        last.append(failure)

    redis = RedisTier.from_settings(settings.redis, settings.site, observe, seal=seal)
    parts.stack.push_async_callback(redis.aclose)
    metrics.watch("redis_up", "1 when Redis answers, 0 while it is paused", lambda: float(redis.is_up))
    parts.health.watch(lambda: [] if redis.is_up else [f"redis.url is not used: {each.explanation}" for each in last])
    await try_out(redis)
    await parts.background(watched_usage(redis, metrics).follow())
    return redis
