"""The story of a request: identify, authorise, picture, respond. A newcomer who has read this file knows the system.

Each step is a room. `identity/` names the visitor, with `sessions/` for cookies. `grants/` has Cloudreve's permission,
and asks for it by `upstream/`. `pictures/` has the bytes, and `http/thumb.py` sends them. Both look into the tiers of
`cache/` first, and load what is not there by `coalesce/`, once over all replicas. `live_events/` hears what is asked
for, and listens to Cloudreve for its changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from proxy.coalesce.deadline import deadline
from proxy.domain.client import Client, client_of
from proxy.domain.credentials import Credentials
from proxy.domain.errors import GrantRejected, ProxyError, Unreachable
from proxy.domain.file_uri import FileUri
from proxy.domain.grant import Grant
from proxy.domain.identity import IdentityKind
from proxy.domain.source import Source
from proxy.domain.storage_errors import NotMade, NotStored
from proxy.domain.thumb_request import PictureRequest, ThumbRequest
from proxy.domain.visitor import Visitor
from proxy.grants.found_grant import Authorised, Granted
from proxy.observe.span import Observer
from proxy.pictures.answer import A, Answer, Give, InfoAnswer

STORED_AFTER_S = (0.0, 0.2, 0.5, 1.0, 2.0)
"""The pauses before a picture is asked for that was just granted: its storage may not have it yet."""

LAST_TRY_S = 0.2
"""So long before the deadline nobody waits any more, so that the visitor is told what was waited for."""

MADE_AGAIN = 2
"""How often a picture that could not be made is asked for again under a new grant."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The functions that the gateway calls, with the module of each."""

    identify: Callable[[Credentials, FileUri | None, Client], Awaitable[Visitor]]
    """`identity/identify.py`: names the visitor, or raises InvalidToken."""
    authorise: Callable[[Visitor, ThumbRequest], Awaitable[Authorised]]
    """`grants/authorise.py`: gives a live grant from a tier or from Cloudreve, or raises Refused. Whether
    one from a tier still counts is decided by `grants/validity.py`."""
    heed: tuple[Callable[[Authorised], None], ...]
    """`live_events/interest.py`, `recent_grants.py`: take note of granted files, so that their changes are heard."""
    forget: Callable[[Visitor, ThumbRequest], Awaitable[None]]
    """`grants/lookup.py`: drops a grant that upstream no longer honours."""
    note: Callable[[Visitor, ThumbRequest, Grant, str], Awaitable[None]]
    """`grants/lookup.py`: notes which version of a foreign picture a grant was seen to name."""
    remaining_s: Callable[[Grant], float]
    """`pictures/respond.py`: tells how many seconds are left of a grant."""
    show: Give[Answer]
    """`pictures/respond.py`: gives the variant from a tier, or has it fetched and encoded."""
    describe: Give[InfoAnswer]
    """`pictures/infos.py`: gives the picture's size and how it looks from afar."""
    refuse: Callable[[Grant, GrantRejected], ProxyError]
    """`pictures/respond.py`: remembers that a granted picture cannot be fetched, and makes the error that says so."""


class Bounds(NamedTuple):
    """Of time, in seconds."""

    deadline_s: float
    """For a request."""
    browser_s: float
    """For a signed-in visitor's browser to show a picture without asking again."""


class Gateway:
    """Answers a request for a thumbnail, or for what is known of it, within the deadline."""

    def __init__(self, steps: Steps, observer: Observer, bounds: Bounds) -> None:
        self._steps = steps
        self._observer = observer
        self._deadline_s = bounds.deadline_s
        self._browser_s = bounds.browser_s

    async def answer(self, request: ThumbRequest) -> Answer:
        """Show the picture to whom Cloudreve grants it; raise a ProxyError to everybody else."""
        return await self._answered(request, self._steps.show)

    async def info(self, request: ThumbRequest) -> InfoAnswer:
        """Tell of the picture to whom Cloudreve grants it; raise a ProxyError to everybody else."""
        return await self._answered(request, self._steps.describe)

    async def _answered(self, request: ThumbRequest, give: Give[A]) -> A:
        ends = asyncio.get_running_loop().time() + self._deadline_s
        async with deadline(self._deadline_s):
            visitor = await self._identified(request)
            answer = await self._give_granted(visitor, request, give, ends)
        is_askers_own = request.credentials.bearer is None and not request.uri.is_absolute
        if visitor.session is None and not is_askers_own:
            is_user = visitor.identity.kind is IdentityKind.USER
            return replace(answer, handling=replace(answer.handling, browser_s=self._browser_s)) if is_user else answer
        handling = replace(answer.handling, asks_again=True)
        return replace(answer, handling=handling, renewed=visitor.renewed, session=visitor.session)

    async def grant(self, request: ThumbRequest) -> Granted:
        """Give the grant without the picture, for a sealed URL; raise Unreachable for one that bridges an outage."""
        async with deadline(self._deadline_s):
            visitor = await self._identified(request)
            visitor, request, found = await self._authorised(visitor, request)
        if found.source is Source.STALE:
            raise Unreachable("Cloudreve does not answer at the moment.")
        return Granted(visitor.identity, request.uri, found, self._steps.remaining_s(found.grant))

    async def _identified(self, request: ThumbRequest) -> Visitor:
        with self._observer.span("identify") as span:
            visitor = await self._steps.identify(request.credentials, request.uri, request.client)
            span.note(identity=visitor.identity.kind.value)
            return visitor

    async def _authorised(self, visitor: Visitor, request: ThumbRequest) -> Authorised:
        with self._observer.span("authorise") as span:
            authorised = await self._steps.authorise(visitor, request)
            span.note(source=authorised.found.source.value, collapsed=authorised.found.collapsed)
            for heed in self._steps.heed:
                heed(authorised)
            return authorised

    async def _give_granted(self, visitor: Visitor, request: ThumbRequest, give: Give[A], ends: float) -> A:
        authorised = await self._authorised(visitor, request)
        try:
            return await self._give(authorised, give)
        except GrantRejected:
            # The file was replaced or the signature ran out since: one new grant tells which.
            await self._steps.forget(authorised.visitor, authorised.request)
            return await self._give_new(await self._authorised(visitor, request), give, ends)

    async def _give_new(self, authorised: Authorised, give: Give[A], ends: float) -> A:
        """Wait for a picture just granted: it may not be stored or made yet (docs/cloudreve.md, Storage elsewhere)."""
        error: GrantRejected = NotStored()
        for times, pause_s in enumerate(STORED_AFTER_S, start=1):
            if times > 1 and asyncio.get_running_loop().time() + pause_s + LAST_TRY_S >= ends:
                break
            await asyncio.sleep(pause_s)
            try:
                return await self._give(authorised, give)
            except GrantRejected as rejected:
                error = rejected
            if not isinstance(error, NotStored | NotMade) or (isinstance(error, NotMade) and times >= MADE_AGAIN):
                break
        raise self._steps.refuse(authorised.found.grant, error) from error

    async def _give(self, authorised: Authorised, give: Give[A]) -> A:
        visitor, request, found = authorised

        async def note(grant: Grant, version: str) -> None:
            await self._steps.note(visitor, request, grant, version)

        client = client_of(visitor.identity, request.client)
        wanted = PictureRequest(request.variant, request.if_none_match, client)
        with self._observer.span("picture"):
            return await give(visitor.identity, found, wanted, note)
