"""First calls to Redis and Cloudreve, before the first visitor comes; the gateway starts without answers as well."""

from __future__ import annotations

import structlog

from proxy.cache.redis_tier import RedisTier
from proxy.domain.errors import ProxyError
from proxy.observe.metrics import Metrics
from proxy.upstream.breaker import UpstreamBreaker
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve

CLOCKS_DIFFER_S = 60.0
"""More than machines drift whose clocks are synchronised."""

_log = structlog.get_logger("proxy.wiring.process")


async def try_out(redis: RedisTier) -> None:
    """Connect before the first visitor comes; without Redis the gateway starts all the same."""
    try:
        await redis.ping()
    except ProxyError as error:
        _log.warning("Redis does not answer yet", reason=error.detail)


async def greet(cloudreve: Cloudreve, clock: Clock) -> None:
    """Learn Cloudreve's clock before the first visitor comes; without it the gateway starts all the same."""
    try:
        await cloudreve.ping()
    except ProxyError as error:
        reason = {"category": error.category, "reason": error.detail, "advice": error.advice}
        _log.warning("Cloudreve does not answer yet", **reason)
    if abs(clock.skew_s) > CLOCKS_DIFFER_S:
        advice = "synchronise the clocks of both machines (NTP); until then the gateway goes by Cloudreve's"
        _log.warning("Cloudreve's clock differs from this machine's", ahead_s=round(clock.skew_s), advice=advice)


def watch_cloudreve(breaker: UpstreamBreaker, clock: Clock, metrics: Metrics) -> None:
    """Show whether Cloudreve answers, and how far its clock is ahead."""
    about = "1 while Cloudreve answers, 0 in an outage"
    metrics.watch("cloudreve_up", about, lambda: float(not breaker.is_open))
    about = "Seconds by which Cloudreve's clock is ahead of this machine's"
    metrics.watch("cloudreve_clock_ahead_seconds", about, lambda: clock.skew_s)
