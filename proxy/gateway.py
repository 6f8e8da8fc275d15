"""The story of a request: identify, grant, picture, answer. A newcomer who has read this file knows the system."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from proxy.download import Download
from proxy.errors import GrantRejected, TooSlow
from proxy.grants import FoundGrant, Grants
from proxy.identify import Identifier
from proxy.model import Grant, Identity, Picture, PictureHead, ThumbRequest, Visitor
from proxy.pictures import Pictures
from proxy.policy.headers import Handling, matches
from proxy.policy.keys import etag


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


class Gateway:
    """Answers a request for a thumbnail within the deadline."""

    def __init__(self, identifier: Identifier, grants: Grants, pictures: Pictures, deadline_s: float) -> None:
        self._identifier = identifier
        self._grants = grants
        self._pictures = pictures
        self._deadline_s = deadline_s

    async def answer(self, request: ThumbRequest) -> Answer:
        """Show the picture to whom Cloudreve grants it; raise a ProxyError to everybody else."""
        try:
            async with asyncio.timeout(self._deadline_s):
                visitor = await self._identifier.identify(request.credentials)
                return await self._show(visitor, request)
        except TimeoutError as error:
            raise TooSlow("Cloudreve did not answer in time.") from error

    async def _show(self, visitor: Visitor, request: ThumbRequest) -> Answer:
        found = await self._grants.find(visitor, request)
        try:
            return await self._picture(visitor, request, found)
        except GrantRejected:
            # The file was replaced or the signature ran out since: one new grant tells which.
            await self._grants.forget(visitor, request)
            return await self._picture(visitor, request, await self._grants.find(visitor, request))

    async def _picture(self, visitor: Visitor, request: ThumbRequest, found: FoundGrant) -> Answer:
        grant, tag = found.grant, _etag(found.grant, "")
        if tag and matches(request.if_none_match, tag):
            return self._answer(visitor, found, tag, Handling(found.source, None, found.collapsed), None)
        body, source, collapsed = await self._pictures.find(grant, request.client)
        head = await body.opened() if isinstance(body, Download) else body.head
        if not grant.own and head.version not in ("", grant.version):
            await self._grants.note(visitor, request, grant, head.version)
        tag = _etag(grant, head.version)
        shown = None if tag and matches(request.if_none_match, tag) else Shown(head, body)
        handling = Handling(found.source, source, found.collapsed or collapsed)
        return self._answer(visitor, found, tag, handling, shown)

    def _answer(
        self, visitor: Visitor, found: FoundGrant, tag: str | None, handling: Handling, shown: Shown | None
    ) -> Answer:
        return Answer(visitor.identity, tag, self._grants.remaining_s(found.grant), handling, shown)


def _etag(grant: Grant, version: str) -> str | None:
    """Name what the visitor sees; of Cloudreve's own pictures it is known before anything of them is."""
    if grant.own:
        return etag(grant.picture)
    return etag(grant.picture, version) if version else None
