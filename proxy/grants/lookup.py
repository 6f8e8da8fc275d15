"""The second step: Cloudreve's leave for this identity to see this File URI."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, TypeGuard

from proxy.cache.tiers import Tiers
from proxy.coalesce.distributed_singleflight import MaybeDistributed
from proxy.coalesce.singleflight import Singleflight
from proxy.domain.client import Client, client_of
from proxy.domain.codec import encode
from proxy.domain.errors import AccountFailed, Busy, InvalidToken, Refused, StillGenerating, TooSlow, Unreachable
from proxy.domain.freshness import is_final, is_plausible, refusal_ttl_s, renew_at
from proxy.domain.keys import grant_key
from proxy.domain.model import (
    Entry,
    FileUri,
    Generating,
    Grant,
    Identity,
    IdentityKind,
    Refusal,
    RefusalKind,
    Source,
    ThumbRequest,
    Visitor,
)
from proxy.grants.invalidation import NEVER, SLACK_S, Change, Changes, ended_by, is_older
from proxy.grants.resolve import Resolver
from proxy.observe.metrics import Metrics
from proxy.settings import Settings
from proxy.upstream.clock import Clock

UNKNOWN_CLOCK_S = 86_400.0
"""How far Cloudreve's clock may be ahead of ours before it has told its time."""


class FoundGrant(NamedTuple):
    """A live grant, where it came from, and whether it was somebody else's flight that brought it."""

    grant: Grant
    source: Source
    collapsed: bool
    key: str = ""
    """Where the tiers keep it; empty for a grant that no tier holds."""
    sure_until: float = math.inf
    """Unix time in seconds on Cloudreve's clock until which nobody need be asked who the visitor is."""


@dataclass(frozen=True, slots=True)
class Granted:
    """Leave to see a picture, for whoever asks for no more than that."""

    identity: Identity
    uri: FileUri
    found: FoundGrant
    fresh_for_s: float


class Grants:
    """Looks a grant up, or resolves it in one flight per identity and File URI."""

    def __init__(
        self,
        tiers: Tiers,
        resolver: Resolver,
        clock: Clock,
        metrics: Metrics,
        singleflight: Singleflight[Grant | Refusal],
        distributed: MaybeDistributed,
        changes: Changes | None,
        settings: Settings,
    ) -> None:
        self._tiers = tiers
        self._resolver = resolver
        self._clock = clock
        self._metrics = metrics
        self._singleflight = singleflight
        self._distributed = distributed
        self._changes = changes
        self._settings = settings

    async def find(self, visitor: Visitor, request: ThumbRequest) -> FoundGrant:
        """Give a live grant; raise Refused when Cloudreve said no, StillGenerating when it took too long."""
        key, changed = grant_key(visitor.identity, request.uri), await self._last_change(visitor)
        with self._distributed.claim(key, self._resolver.next_turn(visitor, request)) as claim:
            kept = await self._tiers.find(key, (Grant, Refusal), self._promotion_s, _client(visitor, request), claim)
            kept = kept if kept is not None and self._is_plausible(kept[0]) else None
            if kept is not None and self._counts(kept[0], changed):
                sure_until = min(visitor.sure_until, changed.sure_until)
                found = FoundGrant(self._allowed(kept[0]), kept[1], collapsed=False, key=key, sure_until=sure_until)
                self._renew_in_time(key, found.grant, visitor, request)
            else:
                found = await self._loaded(key, visitor, request, kept[0] if kept else None, changed)
        self._metrics.found("grant", found.source)
        return found

    async def note(self, visitor: Visitor, request: ThumbRequest, grant: Grant, version: str) -> None:
        """Note which version of a foreign picture this grant was seen to name, so that it needs no further check."""
        key, noted = grant_key(visitor.identity, request.uri), replace(grant, version=version)
        if self._tiers.lookup(key) == grant:  # else it has been renewed, refused or driven out in the meantime
            await self._tiers.keep(key, noted, self._kept_s(noted), _client(visitor, request))

    async def forget(self, visitor: Visitor, request: ThumbRequest) -> None:
        """Drop a grant that upstream no longer honours."""
        await self._tiers.forget(grant_key(visitor.identity, request.uri))

    def remaining_s(self, grant: Grant) -> float:
        """Tell how many seconds are left of a grant; not positive when it is over."""
        return grant.fresh_until - self._clock.now()

    async def _last_change(self, visitor: Visitor) -> Change:
        return await self._changes.last(visitor.identity) if self._changes is not None else NEVER

    async def _loaded(
        self, key: str, visitor: Visitor, request: ThumbRequest, old: Grant | Refusal | None, changed: Change
    ) -> FoundGrant:
        """Share a flight; during an outage fall back on the old grant where the configuration bridges it."""
        try:
            entry, collapsed = await self._flown(key, visitor, request, changed)
        except (Unreachable, TooSlow):
            ended = ended_by(changed, old) if isinstance(old, Grant) else None
            if ended is None or self.remaining_s(ended) <= -self._settings.grants.stale_if_error_s:
                raise
            return FoundGrant(ended, Source.STALE, collapsed=False)
        return FoundGrant(self._allowed(entry), Source.UPSTREAM, collapsed, key)

    async def _flown(
        self, key: str, visitor: Visitor, request: ThumbRequest, changed: Change
    ) -> tuple[Grant | Refusal, bool]:
        """Board the next flight when one gave up at a deadline, or for a token, that was not one's own.

        So too when one had set out before the visitor's last change.
        """
        while True:
            outcome, collapsed = self._singleflight.join(key, lambda: self._load(key, visitor, request, 0.0))
            if collapsed:
                self._metrics.collapsed("grant")
                self._resolver.hurry(visitor, request)
            try:
                entry = await outcome
            except (StillGenerating, InvalidToken, Busy):
                if not collapsed:
                    raise
            else:
                if not collapsed or not is_older(entry, changed):
                    return entry, collapsed
                changed = NEVER  # the next one sets out after the visitor has come

    def _renew_in_time(self, key: str, grant: Grant, visitor: Visitor, request: ThumbRequest) -> None:
        """Start a flight, and wait for nothing, when somebody still wants a grant that is about to end."""
        is_due = self._clock.now() >= renew_at(grant, self._settings.grants.renew_s)
        if is_due and not self._resolver.breaker.is_open:
            with suppress(Busy):
                self._singleflight.join(key, lambda: self._load(key, visitor, request, grant.fresh_until))

    def _allowed(self, entry: Grant | Refusal) -> Grant:
        if isinstance(entry, Refusal):
            raise Refused(entry)
        return entry

    def _counts(self, entry: Grant | Refusal, changed: Change) -> bool:
        is_alive = isinstance(entry, Refusal) or self.remaining_s(entry) > 0
        return is_alive and not is_older(entry, changed)

    def _is_plausible(self, entry: Entry) -> bool:
        """Tell whether a gateway may have written this. Until Cloudreve's clock is known ours may be wrong by hours."""
        if not isinstance(entry, (Grant, Refusal)):
            return False
        slack_s = SLACK_S if self._clock.is_set else UNKNOWN_CLOCK_S
        refused_s = self._settings.cloudreve.resolve_timeout_s + max(self._remaining_s(entry), 0.0)
        max_ttl_s = self._settings.grants.max_ttl_s
        return is_plausible(entry, self._clock.now(), slack_s=slack_s, max_ttl_s=max_ttl_s, refused_s=refused_s)

    def _promotion_s(self, entry: Entry) -> float:
        """Tell how long what Redis held may stay in memory.

        Not at all where only Redis can tell when it ends: a refusal, and a grant until Cloudreve's clock is known.
        """
        is_known = isinstance(entry, Grant) and self._clock.is_set and self._is_plausible(entry)
        return self._kept_s(entry) if isinstance(entry, Grant) and is_known else 0.0

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

    async def _load(self, key: str, visitor: Visitor, request: ThumbRequest, after: float) -> Grant | Refusal:
        """Have one replica resolve; a grant counts as done when it lasts longer than `after`."""

        async def find(left: bytes) -> Grant | Refusal | None:
            entry = await self._tiers.find_shared(key, self._promotion_s, left, _client(visitor, request))
            changed = await self._last_change(visitor)
            if entry is None or not self._is_plausible(entry):
                return None
            if isinstance(entry, Refusal) and not is_older(entry, changed):
                self._tiers.forget_here(key)  # the grant of before, which would bridge an outage
                return entry
            return entry if self._lasts(entry, after, changed) else None

        def keep(entry: Grant | Refusal) -> tuple[bytes, float]:
            return encode(entry), self._kept_s(entry)

        self._resolver.breaker.check()
        with self._resolver.admitted(visitor, request):
            turn = self._resolver.next_turn(visitor, request)
            load = partial(self._resolve, key, visitor, request)
            return await self._distributed.share(key, find, load, encode, keep, turn)

    def _lasts(self, entry: Entry | None, after: float, changed: Change) -> TypeGuard[Grant]:
        return isinstance(entry, Grant) and self._counts(entry, changed) and entry.fresh_until > after

    async def _resolve(self, key: str, visitor: Visitor, request: ThumbRequest) -> Grant | Refusal:
        resolution = await self._resolver.resolve(visitor, request)
        if isinstance(resolution, Generating):
            raise StillGenerating(resolution)
        if visitor.credentials.bearer is not None and _is_anonymous(resolution):
            if visitor.identity.kind is IdentityKind.ACCOUNT:
                raise AccountFailed("The account behind this folder is not accepted at the moment.")
            raise InvalidToken("The access token has expired meanwhile.")
        kept_s = self._kept_s(resolution)
        if isinstance(resolution, Refusal) and is_final(resolution) and not kept_s > 0:
            await self._tiers.forget(key)  # it takes no place, but the grant of before loses its own
        self._tiers.keep_here(key, resolution, kept_s, _client(visitor, request))
        return resolution


def _client(visitor: Visitor, request: ThumbRequest) -> Client:
    return client_of(visitor.identity, request.client)


def _is_anonymous(resolution: Grant | Refusal) -> bool:
    """Tell whether Cloudreve asks for a sign-in: it takes an expired token for none (docs/cloudreve.md, whoami)."""
    return isinstance(resolution, Refusal) and resolution.kind is RefusalKind.UNAUTHENTICATED
