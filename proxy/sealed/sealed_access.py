"""Sealed URLs: permission to see one picture, given out by any replica and honoured by every other."""

from __future__ import annotations

from dataclasses import replace

from proxy.cache.tiers import Tiers
from proxy.coalesce.deadline import deadline
from proxy.domain.errors import BadSeal, Expired, GrantRejected, UpstreamError
from proxy.domain.grant import Grant
from proxy.domain.keys import seen_key, site_digest
from proxy.domain.refusal import Refusal
from proxy.domain.seal import Purpose, Sealer
from proxy.domain.source import Source
from proxy.domain.thumb_request import PictureRequest
from proxy.grants.change_feed import ChangeFeed
from proxy.grants.found_grant import FoundGrant, Granted
from proxy.grants.validity import Decision, is_valid
from proxy.observe.metrics import Metrics
from proxy.pictures.answer import Answer
from proxy.pictures.respond import Responder
from proxy.sealed.sealed_grant import SealedGrant, decode, encode, sealed_grant
from proxy.settings import Settings
from proxy.upstream.clock import Clock


class SealedAccess:
    """Needs no identity and no tier to answer: the grant comes with the request, sealed."""

    def __init__(
        self,
        sealer: Sealer,
        tiers: Tiers,
        responder: Responder,
        feed: ChangeFeed,
        clock: Clock,
        metrics: Metrics,
        settings: Settings,
    ) -> None:
        self._sealer = sealer
        self._tiers = tiers
        self._responder = responder
        self._feed = feed
        self._clock = clock
        self._metrics = metrics
        self._site = site_digest(settings.site)
        self._margin_s = settings.grants.margin_s
        self._deadline_s = settings.server.deadline_s

    def seal(self, granted: Granted) -> str:
        """Give the text that stands for this grant; as long as the grant is the same, so is the text."""
        decision = granted.found.decision
        sealed = sealed_grant(decision.identity, granted.uri, decision.grant, decision.tags)
        try:
            return self._sealer.seal(Purpose.URL, encode(sealed, self._site))
        except ValueError as error:
            raise UpstreamError("Cloudreve's image URL is too long to be sealed.") from error

    async def answer(self, text: str, request: PictureRequest) -> Answer:
        """Show the picture of a sealed text to every visitor who brings it; raise BadSeal or Expired."""
        await self._feed.ready()
        sealed, decision = self._opened(text)
        async with deadline(self._deadline_s):
            decision = replace(decision, grant=await self._as_seen(sealed.grant))
            found = FoundGrant(decision, Source.SEALED, collapsed=False)
            self._metrics.found("grant", found.source)
            try:
                return await self._responder.give(sealed.identity, found, request, self._note)
            except GrantRejected as error:
                await self._forget(sealed)
                raise Expired("The file has changed since this URL was given out.") from error

    def _opened(self, text: str) -> tuple[SealedGrant, Decision[Grant]]:
        """Open a sealed text. The margin is there for using a URL that was given out, so that it opens so long."""
        sealed = decode(self._sealer.open(Purpose.URL, text), self._site)
        if sealed is None:
            raise BadSeal("This was sealed for another site, or by another version of the gateway.")
        until = sealed.grant.fresh_until + self._margin_s
        decision = Decision(sealed.identity, sealed.grant, until, sealed.tags)
        if not is_valid(decision, self._clock.now(), self._feed.invalidations):
            raise Expired("This URL was good for a limited time, which is over, or its file has changed.")
        return sealed, decision

    def _remaining_s(self, grant: Grant) -> float:
        """Tell how long a URL that was given out still opens: the margin is there for using it."""
        return grant.remaining_s(self._clock.now()) + self._margin_s

    async def _as_seen(self, grant: Grant) -> Grant:
        """Give the grant with the version of a foreign picture that was last seen under it, if it is known."""
        if grant.own:
            return grant
        kept = await self._tiers.get(seen_key(grant.url), (Grant,), lambda _: self._remaining_s(grant))
        is_it = kept is not None and replace(kept[0], version="") == replace(grant, version="")
        return kept[0] if kept is not None and is_it else grant

    async def _note(self, grant: Grant, version: str) -> None:
        """Note it apart from the identity's own grant, which may be a newer one by now."""
        await self._tiers.set(seen_key(grant.url), replace(grant, version=version), self._remaining_s(grant))

    async def _forget(self, sealed: SealedGrant) -> None:
        """Drop the grant where it is kept, so that no more URLs are given out for it; a newer one stays."""
        kept = await self._tiers.get(sealed.place, (Grant, Refusal), lambda _: 0.0)
        if kept is not None and isinstance(kept[0], Grant) and kept[0].url == sealed.grant.url:
            await self._tiers.delete(sealed.place)
