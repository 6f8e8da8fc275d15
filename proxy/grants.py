"""The second step: Cloudreve's leave for this identity to see this File URI."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple
from weakref import WeakValueDictionary

from cachetools import LRUCache

from proxy.cache.tiers import Tiers
from proxy.errors import Refused, StillGenerating
from proxy.flight import Flights
from proxy.metrics import Metrics
from proxy.model import Generating, Grant, Refusal, Resolution, Source, ThumbRequest, Visitor
from proxy.policy.freshness import backoff_s, refusal_ttl_s
from proxy.policy.keys import grant_key
from proxy.settings import RefusalSettings
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
        refusals: RefusalSettings,
        deadline_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._tiers = tiers
        self._cloudreve = cloudreve
        self._clock = clock
        self._metrics = metrics
        self._flights = flights
        self._refusals = refusals
        self._deadline_s = deadline_s
        self._sleep = sleep
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._generated: LRUCache[str, None] = LRUCache(GENERATED_NAMES)

    async def find(self, visitor: Visitor, request: ThumbRequest) -> FoundGrant:
        """Give a live grant; raise Refused when Cloudreve said no, StillGenerating when it took too long."""
        key = grant_key(visitor.identity, request.uri)
        kept = await self._tiers.find(key, (Grant, Refusal), self._promotion_s)
        if kept is not None and self._counts(kept[0]):
            entry, source, collapsed = kept[0], kept[1], False
        else:
            entry, collapsed = await self._loaded(key, visitor, request)
            source = Source.UPSTREAM
        self._metrics.found("grant", source)
        if isinstance(entry, Refusal):
            raise Refused(entry)
        return FoundGrant(entry, source, collapsed)

    async def note(self, visitor: Visitor, request: ThumbRequest, grant: Grant, version: str) -> None:
        """Note which version of a foreign picture this grant was seen to name, so that it needs no further check."""
        noted = replace(grant, version=version)
        await self._tiers.keep(grant_key(visitor.identity, request.uri), noted, self._remaining_s(noted))

    async def forget(self, visitor: Visitor, request: ThumbRequest) -> None:
        """Drop a grant that upstream no longer honours."""
        await self._tiers.forget(grant_key(visitor.identity, request.uri))

    def remaining_s(self, grant: Grant) -> float:
        """Tell how many seconds are left of a grant; not positive when it is over."""
        return grant.fresh_until - self._clock.now()

    async def _loaded(self, key: str, visitor: Visitor, request: ThumbRequest) -> tuple[Grant | Refusal, bool]:
        """Share a flight; board the next one when it gave up at a deadline that was not yet one's own."""
        while True:
            outcome, collapsed = self._flights.join(key, lambda: self._load(key, visitor, request))
            if collapsed:
                self._metrics.collapsed("grant")
            try:
                return await outcome, collapsed
            except StillGenerating:
                if not collapsed:
                    raise

    def _counts(self, entry: Grant | Refusal) -> bool:
        return isinstance(entry, Refusal) or self.remaining_s(entry) > 0

    def _promotion_s(self, entry: Grant | Refusal) -> float:
        """Tell how long what Redis held may stay in memory: until Cloudreve's clock is known only Redis can tell."""
        return self._remaining_s(entry) if self._clock.is_set else 0.0

    def _remaining_s(self, entry: Grant | Refusal) -> float:
        if isinstance(entry, Grant):
            return self.remaining_s(entry)
        return refusal_ttl_s(entry, not_found_s=self._refusals.not_found_s, denied_s=self._refusals.denied_s)

    async def _load(self, key: str, visitor: Visitor, request: ThumbRequest) -> Grant | Refusal:
        resolution = await self._in_turn(visitor, request)
        if isinstance(resolution, Generating):
            raise StillGenerating(resolution)
        await self._tiers.keep(key, resolution, self._remaining_s(resolution))
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
            resolution = await self._cloudreve.resolve(request.uri, visitor.credentials, request.hint)
            if isinstance(resolution, Grant):
                self._generated[name] = None
            pause_s = backoff_s(attempt, random.random())  # noqa: S311 - jitter is no secret
            elapsed_s = asyncio.get_running_loop().time() - started
            if not isinstance(resolution, Generating) or elapsed_s + pause_s >= self._deadline_s:
                return resolution
            attempt += 1
            await self._sleep(pause_s)


def _file_name(visitor: Visitor, request: ThumbRequest) -> str:
    """Name the file for the turns. Of shares everybody means the same file; elsewhere it depends on the user."""
    owner = "" if request.uri.filesystem == "share" else visitor.identity.subject
    return f"{owner}|{request.uri.text}"
