"""Builds the feed of changes, and its sources."""

from __future__ import annotations

from proxy.cache.tiers import Tiers
from proxy.coalesce.singleflight import Singleflight
from proxy.fastpath.index import FastPath
from proxy.grants.change_feed import ChangeFeed
from proxy.grants.change_log import ChangeLog
from proxy.grants.invalidation import Invalidations
from proxy.grants.purge import Purger
from proxy.grants.share_owners import ShareOwners
from proxy.sessions.sign_outs import SignOuts
from proxy.upstream.cloudreve import Cloudreve
from proxy.wiring.parts import Parts

OWNER_CALLS = 32
"""How many questions for owners of shares are under way at once; beyond them an owner is not known for a while."""


async def change_feed(parts: Parts, tiers: Tiers, log: ChangeLog | None, sign_outs: SignOuts) -> ChangeFeed:
    """Make the feed of changes; what was told before is known before the first visitor comes."""
    metrics, grants, name = parts.metrics, parts.settings.grants, log.name if log is not None else ""
    lasts_s = grants.max_ttl_s + grants.stale_if_error_s
    invalidations = Invalidations(parts.clock.now, lasts_s, name, tiers.memory.touch, sign_outs.has_ended)
    feed = ChangeFeed(log, invalidations, parts.clock.timer)
    metrics.watch("changes_heard", "Changes that this process has heard of", lambda: invalidations.stamp.heard)
    metrics.watch("changes_waiting", "Changes that other processes have not been told of yet", lambda: feed.waiting)
    metrics.watch("changes_up", "1 while changes are shared, 0 while they cannot be", lambda: float(not feed.is_behind))
    await feed.catch_up()
    await parts.background(feed.follow())
    return feed


async def drop_purged(parts: Parts, feed: ChangeFeed, hits: FastPath, tiers: Tiers) -> None:
    """Have this process drop what purges end."""
    await parts.background(Purger(feed, hits.drop, tiers).follow())


async def share_owners(parts: Parts, cloudreve: Cloudreve) -> ShareOwners:
    """Make the lookup of the owners of shares."""
    return ShareOwners(cloudreve.share_owner, await parts.singleflight(Singleflight[str](OWNER_CALLS)))
