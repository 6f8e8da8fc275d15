"""Shows how full Redis is."""

from __future__ import annotations

from proxy.cache.redis_tier import RedisTier
from proxy.observe.metrics import Metrics
from proxy.redis.usage import Usage


def watched_usage(redis: RedisTier, metrics: Metrics) -> Usage:
    """Make the usage of Redis, seen by the metrics."""
    usage = Usage(redis.connections.clients)
    metrics.watch("redis_used_bytes", "Memory that Redis takes, of all servers", lambda: usage.used_bytes)
    metrics.watch("redis_max_bytes", "Redis' maxmemory; 0 is no limit", lambda: usage.max_bytes)
    metrics.watch_total("redis_evictions", "Keys that Redis gave up for others", lambda: usage.evictions)
    return usage
