"""First calls to Redis and Cloudreve, before the first visitor comes; the gateway starts without answers as well."""

from __future__ import annotations

from functools import partial

import structlog

from proxy.cache.redis_tier import RedisTier
from proxy.domain.errors import ProxyError
from proxy.observe.metrics import Metrics
from proxy.upstream.breaker import UpstreamBreaker
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.site_url import SiteUrlCheck
from proxy.wiring.parts import Parts

CLOCKS_DIFFER_S = 60.0
"""Clocks that are synchronised differ by less."""

_CLOCKS_DIFFER = "Cloudreve's clock differs from this machine's"
_CLOCK_ADVICE = "synchronise the clocks of both machines (NTP); until then the gateway goes by Cloudreve's"

_log = structlog.get_logger("proxy.wiring.process")


async def try_out(redis: RedisTier) -> None:
    """Connect before the first visitor comes; without Redis the gateway starts all the same."""
    try:
        await redis.ping()
    except ProxyError as error:
        _log.warning("Redis does not answer yet", reason=error.detail)


async def contact(cloudreve: Cloudreve, parts: Parts) -> None:
    """Call Cloudreve before the first visitor comes; from then on show its state to operators."""
    await learn_clock(cloudreve, parts.clock)
    site_url = SiteUrlCheck(cloudreve.site_url, parts.settings)
    await site_url.look()
    await parts.background(site_url.follow())
    await parts.background(cloudreve.breaker.watch())
    parts.health.watch(cloudreve.breaker.troubles)
    parts.health.watch(site_url.troubles)
    parts.health.watch(partial(clock_troubles, parts.clock))
    watch_cloudreve(cloudreve.breaker, parts.clock, parts.metrics)


async def learn_clock(cloudreve: Cloudreve, clock: Clock) -> None:
    """Learn Cloudreve's clock; without it the gateway starts all the same."""
    try:
        await cloudreve.ping()
    except ProxyError as error:
        cloudreve.breaker.ping_failed(error)
        reason = {"category": error.category, "reason": error.detail, "advice": error.advice}
        _log.warning("Cloudreve does not answer yet", **reason)
    if clock_troubles(clock):
        _log.warning(_CLOCKS_DIFFER, ahead_s=round(clock.skew_s), advice=_CLOCK_ADVICE)


def clock_troubles(clock: Clock) -> list[str]:
    """Tell by how much the clocks differ, where that is more than they drift."""
    if abs(clock.skew_s) <= CLOCKS_DIFFER_S:
        return []
    return [f"{_CLOCKS_DIFFER} by {abs(clock.skew_s):.0f} s: {_CLOCK_ADVICE}."]


def watch_cloudreve(breaker: UpstreamBreaker, clock: Clock, metrics: Metrics) -> None:
    """Show whether Cloudreve answers, and how far its clock is ahead."""
    about = "1 while Cloudreve answers, 0 in an outage"
    metrics.watch("cloudreve_up", about, lambda: float(not breaker.is_open))
    about = "Seconds by which Cloudreve's clock is ahead of this machine's"
    metrics.watch("cloudreve_clock_ahead_seconds", about, lambda: clock.skew_s)
