"""The last step: from a live grant to what the visitor gets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxy.domain.client import Client
from proxy.domain.keys import etag
from proxy.domain.model import Grant, Identity, Picture, PictureHead, SessionCookie, Source
from proxy.domain.response_fields import Handling, matches
from proxy.grants.lookup import FoundGrant
from proxy.pictures.lookup import Pictures
from proxy.pictures.stream_buffer import Download
from proxy.upstream.clock import Clock

Note = Callable[[Grant, str], Awaitable[None]]
"""Takes note of the version of a foreign picture that was seen under a grant."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What is sent as 200: a picture, complete or arriving."""

    head: PictureHead
    body: Picture | Download


@dataclass(frozen=True, slots=True)
class Answer:
    """What the visitor gets; nothing `shown` means 304, it has the picture already."""

    identity: Identity
    etag: str | None
    fresh_for_s: float
    handling: Handling
    shown: Shown | None
    found: FoundGrant
    """What the answer rests on."""
    client: Client = ""
    """The client that has asked."""
    renewed: SessionCookie | None = None
    """What is to replace the visitor's cookie, if anything."""


class Answers:
    """Finds the picture that a grant names, where the visitor has not got it already."""

    def __init__(self, pictures: Pictures, clock: Clock) -> None:
        self._pictures = pictures
        self._clock = clock

    async def give(
        self, identity: Identity, found: FoundGrant, if_none_match: str | None, client: Client, note: Note
    ) -> Answer:
        """Answer with a picture or 304; raise GrantRejected when upstream no longer honours the grant."""
        grant, tag = found.grant, _etag(found.grant, "")
        if tag and matches(if_none_match, tag):
            handling = Handling(found.source, None, found.collapsed)
            return Answer(identity, tag, self._remaining_s(grant), handling, None, found, client)
        body, source, collapsed = await self._pictures.find(grant, client, is_new=found.source is Source.UPSTREAM)
        head = await body.opened() if isinstance(body, Download) else body.head
        source = body.source if isinstance(body, Download) else source
        if not grant.own and head.version not in ("", grant.version):
            await note(grant, head.version)
        elif not grant.own and not head.version and isinstance(body, Download):
            body.when_whole(found.key or grant.url, lambda whole: note(grant, whole.version))
        tag = _etag(grant, head.version)
        shown = None if tag and matches(if_none_match, tag) else Shown(head, body)
        handling = Handling(found.source, source, found.collapsed or collapsed)
        return Answer(identity, tag, self._remaining_s(grant), handling, shown, found, client)

    def _remaining_s(self, grant: Grant) -> float:
        return grant.fresh_until - self._clock.now()


def _etag(grant: Grant, version: str) -> str | None:
    """Name what the visitor sees; of Cloudreve's own pictures it is known before anything of them is."""
    if grant.own:
        return etag(grant.picture)
    return etag(grant.picture, version) if version else None
