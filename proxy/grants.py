"""The second step: Cloudreve's leave for this identity to see this File URI."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple
from weakref import WeakValueDictionary

from cachetools import LRUCache

from proxy.cache.tiers import Tiers
from proxy.errors import Busy, Refused, StillGenerating, TooSlow, Unreachable
from proxy.fairness import FairLimit
from proxy.flight import Flights
from proxy.metrics import Metrics
from proxy.model import Generating, Grant, Refusal, Resolution, Source, ThumbRequest, Visitor
from proxy.policy.freshness import backoff_s, refusal_ttl_s, renew_at
from proxy.policy.keys import grant_key
from proxy.settings import Settings
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve

GENERATED_NAMES = 100_000
"""How many files are remembered as having a thumbnail already, so that their resolves need no turns."""


class FoundGrant(NamedTuple):
    """A live grant, where it came from, and whether it was somebody else's flight that brought it."""

    grant: Grant
    source: Source
    collapsed: bool


class Grants:
    """Looks a grant up, or resolves it in one flight per identity and File URI."""

    def __init__(
        self,
        tiers: Tiers,
        cloudreve: Cloudreve,
        clock: Clock,
        metrics: Metrics,
        flights: Flights[Grant | Refusal],
        limit: FairLimit,
        settings: Settings,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._tiers = tiers
        self._cloudreve = cloudreve
        self._clock = clock
        self._metrics = metrics
        self._flights = flights
        self._limit = limit
        self._settings = settings
        self._sleep = sleep
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._generated: LRUCache[str, None] = LRUCache(GENERATED_NAMES)

    async def find(self, visitor: Visitor, request: ThumbRequest) -> FoundGrant:
        """Give a live grant; raise Refused when Cloudreve said no, StillGenerating when it took too long."""
        key = grant_key(visitor.identity, request.uri)
        kept = await self._tiers.find(key, (Grant, Refusal), self._promotion_s)
        if kept is not None and self._counts(kept[0]):
            found = FoundGrant(self._allowed(kept[0]), kept[1], collapsed=False)
            self._renew_in_time(key, found.grant, visitor, request)
        else:
            found = await self._loaded(key, visitor, request, kept[0] if kept else None)
        self._metrics.found("grant", found.source)
        return found

    async def note(self, visitor: Visitor, request: ThumbRequest, grant: Grant, version: str) -> None:
        """Note which version of a foreign picture this grant was seen to name, so that it needs no further check."""
        noted = replace(grant, version=version)
        await self._tiers.keep(grant_key(visitor.identity, request.uri), noted, self._kept_s(noted))

    async def forget(self, visitor: Visitor, request: ThumbRequest) -> None:
        """Drop a grant that upstream no longer honours."""
        await self._tiers.forget(grant_key(visitor.identity, request.uri))

    def remaining_s(self, grant: Grant) -> float:
        """Tell how many seconds are left of a grant; not positive when it is over."""
        return grant.fresh_until - self._clock.now()

    async def _loaded(
        self, key: str, visitor: Visitor, request: ThumbRequest, old: Grant | Refusal | None
    ) -> FoundGrant:
        """Share a flight; during an outage fall back on the old grant where the configuration bridges it."""
        try:
            entry, collapsed = await self._flown(key, visitor, request)
        except (Unreachable, TooSlow):
            if not isinstance(old, Grant) or self.remaining_s(old) <= -self._settings.grants.stale_if_error_s:
                raise
            return FoundGrant(old, Source.STALE, collapsed=False)
        return FoundGrant(self._allowed(entry), Source.UPSTREAM, collapsed)

    async def _flown(self, key: str, visitor: Visitor, request: ThumbRequest) -> tuple[Grant | Refusal, bool]:
        """Board the next flight when one gave up at a deadline that was not yet one's own."""
        while True:
            outcome, collapsed = self._flights.join(key, lambda: self._load(key, visitor, request))
            if collapsed:
                self._metrics.collapsed("grant")
            try:
                return await outcome, collapsed
            except StillGenerating:
                if not collapsed:
                    raise

    def _renew_in_time(self, key: str, grant: Grant, visitor: Visitor, request: ThumbRequest) -> None:
        """Start a flight, and wait for nothing, when somebody still wants a grant that is about to end."""
        is_due = self._clock.now() >= renew_at(grant, self._settings.grants.renew_s)
        if is_due and not self._cloudreve.breaker.is_open:
            with suppress(Busy):
                self._flights.join(key, lambda: self._load(key, visitor, request))

    def _allowed(self, entry: Grant | Refusal) -> Grant:
        if isinstance(entry, Refusal):
            raise Refused(entry)
        return entry

    def _counts(self, entry: Grant | Refusal) -> bool:
        return isinstance(entry, Refusal) or self.remaining_s(entry) > 0

    def _promotion_s(self, entry: Grant | Refusal) -> float:
        """Tell how long what Redis held may stay in memory: until Cloudreve's clock is known only Redis can tell."""
        return self._kept_s(entry) if self._clock.is_set else 0.0

    def _remaining_s(self, entry: Grant | Refusal) -> float:
        if isinstance(entry, Grant):
            return self.remaining_s(entry)
        refusals = self._settings.refusals
        return refusal_ttl_s(entry, not_found_s=refusals.not_found_s, denied_s=refusals.denied_s)

    def _kept_s(self, entry: Grant | Refusal) -> float:
        """Tell how long an entry stays in the tiers: a grant that still counts, and then as a bridge over an outage."""
        remaining_s = self._remaining_s(entry)
        is_bridge = isinstance(entry, Grant) and remaining_s > 0
        return remaining_s + self._settings.grants.stale_if_error_s if is_bridge else remaining_s

    async def _load(self, key: str, visitor: Visitor, request: ThumbRequest) -> Grant | Refusal:
        self._cloudreve.breaker.check()
        with self._limit.admitted(_client(visitor, request)):
            resolution = await self._in_turn(visitor, request)
        if isinstance(resolution, Generating):
            raise StillGenerating(resolution)
        await self._tiers.keep(key, resolution, self._kept_s(resolution))
        return resolution

    async def _in_turn(self, visitor: Visitor, request: ThumbRequest) -> Resolution:
        """Resolve one after the other while the thumbnail may have to be generated: together they would collide."""
        name = _file_name(visitor, request)
        if name not in self._generated:
            turn = self._turns.setdefault(name, asyncio.Lock())
            async with turn:
                if name not in self._generated:
                    return await self._patiently(name, visitor, request)
        return await self._patiently(name, visitor, request)

    async def _patiently(self, name: str, visitor: Visitor, request: ThumbRequest) -> Resolution:
        """Ask again while Cloudreve generates the thumbnail for somebody else, until the deadline."""
        started, attempt = asyncio.get_running_loop().time(), 0
        while True:
            async with self._limit.slot(_client(visitor, request)):
                resolution = await self._cloudreve.resolve(request.uri, visitor.credentials, request.hint)
            if isinstance(resolution, Grant):
                self._generated[name] = None
            pause_s = backoff_s(attempt, random.random())  # noqa: S311 - jitter is no secret
            elapsed_s = asyncio.get_running_loop().time() - started
            if not isinstance(resolution, Generating) or elapsed_s + pause_s >= self._settings.server.deadline_s:
                return resolution
            attempt += 1
            await self._sleep(pause_s)


def _client(visitor: Visitor, request: ThumbRequest) -> str:
    """Name who takes turns: a user wherever it sits, anybody else by address."""
    return visitor.identity.subject or request.client


def _file_name(visitor: Visitor, request: ThumbRequest) -> str:
    """Name the file for the turns. Of shares everybody means the same file; elsewhere it depends on the user."""
    owner = "" if request.uri.filesystem == "share" else visitor.identity.subject
    return f"{owner}|{request.uri.text}"
