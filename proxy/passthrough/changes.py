"""Requests that change files, on their way to Cloudreve: each change is told when it begins and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from aiohttp import web

from proxy.cache.shared_values import SharedValues
from proxy.cache.tiers import Tiers
from proxy.domain.client import Client
from proxy.domain.credentials import Credentials
from proxy.domain.errors import ProxyError
from proxy.domain.file_uri import FileUri
from proxy.domain.grant import Grant
from proxy.domain.identity import ANONYMOUS, Identity
from proxy.domain.keys import grant_key, upload_key
from proxy.domain.tags import EVERYTHING, SHARES, TAG_BYTES, Tag, picture_tag
from proxy.grants.change_feed import ChangeFeed
from proxy.grants.changing_requests import (
    Changing,
    Kind,
    changing,
    tags_of_dav,
    tags_of_files,
    tags_of_shares,
    tags_of_user,
)
from proxy.grants.invalidation import ChangeId
from proxy.grants.share_owners import ShareOwners
from proxy.http.request_origin import RequestOrigin
from proxy.http.thumb_request import bearer
from proxy.identity.identify import Identifier
from proxy.passthrough.change_bodies import PARTLY_CODE, ChangeAnswer, buffered, read_body, read_change_answer
from proxy.passthrough.client import UpstreamAnswer
from proxy.passthrough.named_files import NamedFiles, is_own

BROAD_S = 30.0
"""How far apart WebDAV requests that break off may end all grants, or all of shares: anybody can send one."""
_NOT_BY_URI = frozenset({Kind.SHARE, Kind.DAV, Kind.SESSION, Kind.ADMIN})
UPLOAD_S = 7 * 86400.0
"""How long an upload session is remembered."""


class _Session(msgspec.Struct):
    session_id: str


@dataclass(slots=True)
class _Change:
    """One request that may change something."""

    tags: tuple[Tag, ...]
    named: NamedFiles
    author: Identity
    begun: ChangeId | None = None
    """Nothing is said of a change by nobody in particular until Cloudreve has made it."""
    is_ended: bool = False


class Changes:
    """Tells of changes that go through this gateway."""

    def __init__(
        self,
        feed: ChangeFeed,
        identifier: Identifier,
        owners: ShareOwners,
        shared_values: SharedValues,
        tiers: Tiers,
        request_origin: RequestOrigin,
    ) -> None:
        self._feed = feed
        self._identifier = identifier
        self._owners = owners
        self._shared_values = shared_values
        self._tiers = tiers
        self._request_origin = request_origin
        self._broad_at = 0.0
        self._is_broad_due = False

    @asynccontextmanager
    async def watching(self, request: web.Request) -> AsyncIterator[ChangingRequest]:
        """Watch over a request while it is passed; what becomes of it without an answer is not known for a while."""
        kind = changing(request.method, request.path)
        if kind is None:
            yield ChangingRequest(None, None, self)
            return
        body = await read_body(request) if kind.has_body else None
        change = await self._begun(request, kind, body)
        try:
            yield ChangingRequest(body, (kind, change), self)
        finally:
            if change.begun is not None and not change.is_ended:
                self._feed.abandon(change.begun)
            elif not change.is_ended and kind.kind is Kind.DAV and "Authorization" in request.headers:
                self._tell_of_loss(change.tags)

    def _tell_of_loss(self, tags: tuple[Tag, ...]) -> None:
        """Tell of a change by WebDAV that may have been made; rarely, where that ends much of others'."""
        if not {EVERYTHING, SHARES} & {*tags}:
            self._feed.tell(tags)
            return
        if not self._is_broad_due:
            self._is_broad_due = True
            asyncio.get_running_loop().call_at(self._broad_at, self._tell_broad)

    def _tell_broad(self) -> None:
        self._is_broad_due = False
        self._broad_at = asyncio.get_running_loop().time() + BROAD_S
        self._feed.tell((EVERYTHING,))

    async def ended(self, kind: Changing, change: _Change, answer: UpstreamAnswer) -> UpstreamAnswer:
        """Tell of a change that Cloudreve has answered, before its author hears of it."""
        is_known = answer.status < HTTPStatus.INTERNAL_SERVER_ERROR
        if not is_known and (change.begun is not None or kind.kind is Kind.DAV):
            return answer  # a proxy's in front of Cloudreve, which may still be at work
        if kind.kind is Kind.UPLOAD or (change.begun is None and kind.kind is not Kind.DAV):
            body, answer = await buffered(answer)
            answered = read_change_answer(body)
            is_made = answered.code == 0 or (answered.code == PARTLY_CODE and self._is_made(kind, change, answered))
            if kind.kind is Kind.UPLOAD and is_made:
                await self._remember(answered, change.tags)
        else:
            is_made = change.begun is not None or answer.status < HTTPStatus.BAD_REQUEST
            is_made |= answer.status == HTTPStatus.LOCKED  # what COPY answers though it has made a copy
        if change.begun is not None:
            self._feed.end(change.begun, change.tags)
        elif is_made:
            self._feed.tell(change.tags)
        change.is_ended = True
        await self._feed.spread()
        return answer

    def _is_made(self, kind: Changing, change: _Change, answered: ChangeAnswer) -> bool:
        """Tell whether Cloudreve has changed some of the files; leave out the tags of the others."""
        if change.named.are_many:
            self._tell_of_loss((EVERYTHING,))
            return False
        change.named = change.named.but(answered.failed)
        if change.named.uris:
            change.tags = self._of_named(kind.kind, change.author, change.named)
        return bool(change.named.uris)

    async def _begun(self, request: web.Request, kind: Changing, body: bytes | None) -> _Change:
        identity = await self._author(request)
        query = request.rel_url.raw_query_string
        named = NamedFiles.of(query, body) if kind.kind not in _NOT_BY_URI else NamedFiles()
        change = _Change(await self._tags(request, kind, body, identity, named), named, identity)
        if (
            identity.subject
            and EVERYTHING not in change.tags
            and is_own(kind, identity.subject, named, self._owners.known)
        ):
            change.begun = begun = self._feed.begin(change.tags)
            try:
                await self._feed.spread()
            except BaseException:
                self._feed.abandon(begun)
                raise
        return change

    async def _author(self, request: web.Request) -> Identity:
        with suppress(ProxyError):
            token = bearer(request.headers.getall("Authorization", ()))
            if token is not None:
                client: Client = self._request_origin.client(request)
                return (await self._identifier.identify(Credentials(token), client=client)).identity
        return ANONYMOUS

    async def _tags(
        self, request: web.Request, kind: Changing, body: bytes | None, identity: Identity, named: NamedFiles
    ) -> tuple[Tag, ...]:
        match kind.kind:
            case Kind.SHARE:
                return tags_of_shares(kind.name, body)
            case Kind.DAV:
                return tags_of_dav(request.method, request.rel_url.raw_path, request.headers.get("Destination"))
            case Kind.SESSION:
                return await self._of_session(kind.name) or tags_of_user(identity.subject)
            case Kind.ADMIN:
                return (EVERYTHING,)
            case _:
                return await self._of_files(kind.kind, identity, named)

    async def _of_files(self, kind: Kind, identity: Identity, named: NamedFiles) -> tuple[Tag, ...]:
        if named.are_many:
            return tags_of_user(identity.subject) if named.are_of(identity.subject) else (EVERYTHING,)
        if not named.uris and named.session:
            return await self._of_session(named.session) or tags_of_user(identity.subject)
        return self._of_named(kind, identity, named)

    def _of_named(self, kind: Kind, identity: Identity, named: NamedFiles) -> tuple[Tag, ...]:
        kind = Kind.CONTENT if kind is Kind.UPLOAD else kind
        places = tags_of_files(named.uris, kind, identity.subject, self._owners.known)
        return (*places, *self._pictures(named.uris, identity))

    def _pictures(self, uris: Collection[FileUri], identity: Identity) -> tuple[Tag, ...]:
        """Give the pictures that are known to lie there."""
        kept = (self._tiers.get_nowait(grant_key(identity, uri)) for uri in uris)
        return tuple(picture_tag(grant.picture) for grant in kept if isinstance(grant, Grant))

    async def _remember(self, answered: ChangeAnswer, tags: tuple[Tag, ...]) -> None:
        with suppress(msgspec.MsgspecError):
            session = msgspec.json.decode(answered.data, type=_Session).session_id
            await self._shared_values.set(upload_key(session), b"".join(tags).hex(), UPLOAD_S)

    async def _of_session(self, session: str) -> tuple[Tag, ...]:
        """Give the tags of the file that an upload session is for; none where the session is not known."""
        told = await self._shared_values.get(upload_key(session)) or ""
        with suppress(ValueError):
            raw = bytes.fromhex(told)
            return tuple(raw[at : at + TAG_BYTES] for at in range(0, len(raw), TAG_BYTES))
        return ()


@dataclass(frozen=True, slots=True)
class ChangingRequest:
    """A request that is being passed, and what it may change."""

    body: bytes | None
    """Its body, where that has been read already."""
    change: tuple[Changing, _Change] | None
    changes: Changes

    async def answered(self, answer: UpstreamAnswer) -> UpstreamAnswer:
        """Tell of the change, if it is one; give the answer to be passed on."""
        return answer if self.change is None else await self.changes.ended(*self.change, answer)
