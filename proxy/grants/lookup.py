"""The second step: Cloudreve's permission for this identity to see this File URI."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial

from proxy.cache.entry_loader import WantedEntry, entry_loader
from proxy.cache.tiers import Tiers
from proxy.coalesce.messages import Message, Received, Whole
from proxy.coalesce.singleflight import Singleflight
from proxy.coalesce.work_sharing import WorkSharing
from proxy.domain.client import Client, client_of
from proxy.domain.codec import encode
from proxy.domain.entry import Entry
from proxy.domain.errors import AccountFailed, Busy, InvalidToken, Refused, StillGenerating, TooSlow, Unreachable
from proxy.domain.freshness import is_final
from proxy.domain.grant import Grant
from proxy.domain.identity import IdentityKind
from proxy.domain.keys import grant_key
from proxy.domain.refusal import Generating, Refusal, RefusalKind
from proxy.domain.source import Source
from proxy.domain.tags import Tag, fixed_tags, place_tags, share_of
from proxy.domain.thumb_request import ThumbRequest
from proxy.domain.visitor import Visitor
from proxy.grants.change_feed import ChangeFeed
from proxy.grants.found_grant import FoundGrant
from proxy.grants.resolve import Resolver
from proxy.grants.share_owners import ShareOwners
from proxy.grants.terms import Terms
from proxy.grants.validity import Decision, is_valid
from proxy.observe.metrics import Metrics


class Grants:
    """Looks a grant up, or resolves it in one flight per identity and File URI."""

    def __init__(
        self,
        tiers: Tiers,
        resolver: Resolver,
        terms: Terms,
        metrics: Metrics,
        singleflight: Singleflight[Grant | Refusal],
        sharing: WorkSharing,
        feed: ChangeFeed,
        owners: ShareOwners,
    ) -> None:
        self._tiers = tiers
        self._resolver = resolver
        self._metrics = metrics
        self._singleflight = singleflight
        self._sharing = sharing
        self._feed = feed
        self._invalidations = feed.invalidations
        self._owners = owners
        self._terms = terms

    async def find(self, visitor: Visitor, request: ThumbRequest) -> FoundGrant:
        """Give a live grant; raise Refused when Cloudreve said no, StillGenerating when it took too long."""
        await self._feed.ready()
        key = grant_key(visitor.identity, request.uri)
        self._owners.ask(share_of(request.uri))  # while the tiers and Cloudreve are asked for the grant
        with self._sharing.claim(key, self._resolver.next_turn(visitor, request)) as claim:
            client = _client(visitor, request)
            kept = await self._tiers.get(key, (Grant, Refusal), self._terms.promoted_s, client, claim)
            kept = kept if kept is not None and self._terms.is_plausible(kept[0]) else None
            place = await self._place(visitor, request) if kept is not None else ()
            if kept is not None and self._counts(kept[0], visitor, place):
                found = FoundGrant(_decided(_allowed(kept[0]), visitor, place), kept[1], collapsed=False, key=key)
                self._renew_in_time(key, found.grant, visitor, request)
            else:
                found = await self._loaded(key, visitor, request, kept[0] if kept else None)
        self._metrics.found("grant", found.source)
        return found

    async def note(self, visitor: Visitor, request: ThumbRequest, grant: Grant, version: str) -> None:
        """Note which version of a foreign picture this grant was seen to name, so that it needs no further check."""
        key, noted = grant_key(visitor.identity, request.uri), replace(grant, version=version)
        if self._tiers.get_nowait(key) == grant:  # else it has been renewed, refused or driven out in the meantime
            await self._tiers.set(key, noted, self._terms.kept_s(noted), _client(visitor, request))

    async def forget(self, visitor: Visitor, request: ThumbRequest) -> None:
        """Drop a grant that upstream no longer honours."""
        await self._tiers.delete(grant_key(visitor.identity, request.uri))

    async def _place(self, visitor: Visitor, request: ThumbRequest) -> tuple[Tag, ...]:
        """Give the tags of a File URI as this visitor means it."""
        owner = await self._owners.owner(share_of(request.uri))
        return place_tags(request.uri, visitor.identity.subject, owner)

    async def _loaded(
        self, key: str, visitor: Visitor, request: ThumbRequest, old: Grant | Refusal | None
    ) -> FoundGrant:
        """Share a flight; during an outage fall back on the old grant where the configuration bridges it."""
        try:
            entry, collapsed = await self._joined(key, visitor, request)
        except (Unreachable, TooSlow):
            place = await self._place(visitor, request)
            ended = self._ended(old, visitor, place) if isinstance(old, Grant) else None
            if ended is None or not self._terms.is_bridge(ended):
                raise
            return FoundGrant(_decided(ended, visitor, place), Source.STALE, collapsed=False)
        grant, place = _allowed(entry), await self._place(visitor, request)
        return FoundGrant(_decided(grant, visitor, place), Source.UPSTREAM, collapsed, key)

    async def _joined(self, key: str, visitor: Visitor, request: ThumbRequest) -> tuple[Grant | Refusal, bool]:
        """Join the next flight when one gave up at a deadline, or for a token, that was not one's own.

        So too when one had set out before a change that the visitor may know of.
        """
        came, is_first = self._invalidations.stamp, True
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
                is_later = entry.stamp.origin == came.origin and entry.stamp.heard >= came.heard
                if not collapsed or not is_first or is_later:
                    return entry, collapsed
                if self._counts(entry, visitor, await self._place(visitor, request)):
                    return entry, collapsed
                is_first = False  # the next one sets out after the visitor has come

    def _renew_in_time(self, key: str, grant: Grant, visitor: Visitor, request: ThumbRequest) -> None:
        """Start a flight, and wait for nothing, when somebody still wants a grant that is about to end."""
        if self._terms.is_due(grant) and not self._resolver.breaker.is_open:
            with suppress(Busy):
                self._singleflight.join(key, lambda: self._load(key, visitor, request, grant.fresh_until))

    def _counts(self, entry: Grant | Refusal, visitor: Visitor, place: tuple[Tag, ...]) -> bool:
        if isinstance(entry, Grant):
            decision = replace(_decided(entry, visitor, place), valid_until=entry.fresh_until)
            return is_valid(decision, self._terms.now, self._invalidations)
        return is_valid(Decision(visitor.identity, entry, tags=_tags(entry, visitor, place)), 0.0, self._invalidations)

    def _ended(self, grant: Grant, visitor: Visitor, place: tuple[Tag, ...]) -> Grant:
        """Let a grant from before a change be over since then."""
        ended_at = self._invalidations.ended_at(grant.stamp, _tags(grant, visitor, place))
        return grant if ended_at is None else replace(grant, fresh_until=min(grant.fresh_until, ended_at))

    async def _load(self, key: str, visitor: Visitor, request: ThumbRequest, after: float) -> Grant | Refusal:
        """Have one replica resolve; a grant counts as done when it lasts longer than `after`."""

        async def accept(entry: Entry, _: Received | None) -> Grant | Refusal | None:
            if not isinstance(entry, (Grant, Refusal)) or not self._terms.is_plausible(entry):
                return None
            if not self._counts(entry, visitor, await self._place(visitor, request)):
                return None
            if isinstance(entry, Refusal):
                self._tiers.delete_local(key)  # the grant of before, which would bridge an outage
                return entry
            return entry if entry.fresh_until > after else None

        self._resolver.breaker.check()
        with self._resolver.admitted(visitor, request):
            make = partial(self._resolve, key, visitor, request)
            promoted_s, kept_s = self._terms.promoted_s, self._terms.kept_s
            wanted = WantedEntry(key, _client(visitor, request), accept, make, promoted_s, kept_s, _whole)
            loader = entry_loader(self._tiers, wanted)
            return await self._sharing.share(loader, self._resolver.next_turn(visitor, request))

    async def _resolve(self, key: str, visitor: Visitor, request: ThumbRequest) -> Grant | Refusal:
        resolution = await self._resolver.resolve(visitor, request)
        if isinstance(resolution, Generating):
            raise StillGenerating(resolution)
        if visitor.credentials.bearer is not None and _is_anonymous(resolution):
            if visitor.identity.kind is IdentityKind.ACCOUNT:
                raise AccountFailed("The account behind this folder is not accepted at the moment.")
            raise InvalidToken("The access token has expired meanwhile.")
        if isinstance(resolution, Refusal) and is_final(resolution) and not self._terms.kept_s(resolution) > 0:
            await self._tiers.delete(key)  # it takes no place, but the grant of before loses its own
        return resolution


def _client(visitor: Visitor, request: ThumbRequest) -> Client:
    return client_of(visitor.identity, request.client)


def _whole(entry: Grant | Refusal) -> Message:
    return Whole(encode(entry))


def _is_anonymous(resolution: Grant | Refusal) -> bool:
    """Tell whether Cloudreve asks for a sign-in: it takes an expired token for none (docs/cloudreve.md, whoami)."""
    return isinstance(resolution, Refusal) and resolution.kind is RefusalKind.UNAUTHENTICATED


def _allowed(entry: Grant | Refusal) -> Grant:
    if isinstance(entry, Refusal):
        raise Refused(entry)
    return entry


def _tags(entry: Grant | Refusal, visitor: Visitor, place: tuple[Tag, ...]) -> tuple[Tag, ...]:
    picture = entry.picture if isinstance(entry, Grant) else ""
    return (*fixed_tags(visitor.identity, picture), *place)


def _decided(grant: Grant, visitor: Visitor, place: tuple[Tag, ...]) -> Decision[Grant]:
    sure_until = min(visitor.sure_until, grant.fresh_until)
    return Decision(visitor.identity, grant, sure_until, _tags(grant, visitor, place))
