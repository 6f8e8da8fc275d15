"""One folder is listened to by one process of all, and what is heard ends grants.

What may have been missed. A subscription under a new client id hears nothing from before: its beginning ends all grants
of the folder, unless nobody has listened to it lately: then they last as long as they would without live events.
Cloudreve keeps events for a client that has left, so that the next process, or this one after a restart, goes on under
the same client id and hears what it has missed. For this the id is left in a note once Cloudreve has confirmed the end
of the stream, and one process takes it up. Over TLS there is no such word: the id is left all the same, and taken up
later, when Cloudreve knows of the end; but the last events may be lost, which counts as a gap. After a break there is
no note: Cloudreve may have written events into a connection that was dead, and when it finds that out at last it takes
the client for gone, although it has come back meanwhile (source: `pkg/filemanager/eventhub`). The note outlives the
grants, for as long as Cloudreve keeps the client: with a new id at each visit of a user Cloudreve would write each
change of that user's files into its database many times over.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import structlog

from proxy.coalesce.work_sharing import WorkSharing
from proxy.domain.errors import InvalidToken, ProxyError, Refused, TooSlow, UpstreamError
from proxy.domain.keys import watch_key
from proxy.domain.tags import UNKNOWN
from proxy.grants.change_feed import ChangeFeed
from proxy.grants.share_owners import ShareOwners
from proxy.live_events.burst import QUEUE, Burst
from proxy.live_events.client_ids import ClientId, ClientIds
from proxy.live_events.confirmation import Bearer, Confirmation
from proxy.live_events.recent_grants import RecentGrants
from proxy.live_events.share_terms import ShareTerms
from proxy.live_events.watched_folder import WatchedFolder
from proxy.redis.lease import LeaseHolder
from proxy.upstream.event_streams import EventStream, EventStreams, FileEvent

POLL_S = 2.0
"""How often a process looks whether the one that listens is gone."""
UNSURE_S = 300.0
"""How long a process listens while nobody can tell whether another does, before it asks again."""
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 15.0)
"""How long it is left alone after one failure, two in a row, and so on."""
REFUSED_S = 60.0
"""The same after a refusal, which seldom changes."""
LEAVE_S = 1.0
"""How long leaving may take, and the note of it."""

NO_EVENTS = (0, 40019)
"""Cloudreve does not know the call, or its administrator has switched events off."""

_log = structlog.get_logger("proxy.live_events")


class State(StrEnum):
    """How a subscription is."""

    BEGINNING = "beginning"
    ELSEWHERE = "elsewhere"
    """Another process listens."""
    LIVE = "live"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class SubscriptionContext:
    """The objects that all subscriptions of a process share."""

    streams: EventStreams
    sharing: WorkSharing
    client_ids: ClientIds
    feed: ChangeFeed
    owners: ShareOwners
    share_terms: ShareTerms
    recent: RecentGrants
    confirmation: Confirmation
    lasts_s: float
    """How long a grant may last."""
    came: Callable[[WatchedFolder, Iterable[FileEvent] | None], None]
    """Hears what may be warmed; None where it is not known what has come."""


@dataclass
class Count:
    """Counts of what subscriptions have met."""

    events: int = 0
    breaks: int = 0
    gaps: int = 0
    """How often anything in a folder may have changed, since something may have been missed."""
    confirmed: int = 0
    """How often Cloudreve has named the same picture after an event or a gap."""


@dataclass
class Subscription:
    """Listens to a folder for as long as it runs."""

    folder: WatchedFolder
    bearer: Bearer
    """Gives a token that is good for a call; raises ProxyError where there is none."""
    context: SubscriptionContext
    count: Count
    is_named: bool = False
    """Whether an operator has named the folder, and is told when it cannot be heard."""
    state: State = State.BEGINNING
    reason: str = ""
    """Why it fails."""
    is_refused: bool = False
    """Whether Cloudreve has said no."""
    is_in_vain: bool = False
    """Whether others will fare no better: Cloudreve has no events, or a proxy between keeps them to itself."""
    was_heard: bool = False
    """Whether Cloudreve has accepted it, here or from another process."""
    _failures: int = field(default=0, init=False)
    _was_live: bool = field(default=False, init=False)

    async def follow(self) -> None:
        """Go on until cancelled."""
        while True:
            async with self.context.sharing.lead(watch_key(self.folder.name)) as holder:
                if holder is LeaseHolder.OTHERS:
                    self.state, self.was_heard, pause_s = State.ELSEWHERE, True, POLL_S
                else:
                    pause_s = await self._listened(UNSURE_S if holder is LeaseHolder.UNKNOWN else None)
            await asyncio.sleep(pause_s)

    async def _listened(self, for_s: float | None) -> float:
        """Listen until the stream ends, or for so many seconds; give how long to leave it alone."""
        self.state = State.BEGINNING
        client_id = await self.context.client_ids.take(self.folder.name)
        try:
            async with asyncio.timeout(for_s):
                await self._listen(client_id)
        except TimeoutError:
            return 0.0
        except ProxyError as error:
            return self._failed(error)
        return self._broken("Cloudreve has ended the stream")

    async def _listen(self, client_id: ClientId) -> None:
        await asyncio.sleep(client_id.away_s)
        folder, owner = self.folder, UNKNOWN
        async with AsyncExitStack() as stack:
            if folder.share:
                owner, terms = (
                    await self.context.owners.owner(folder.share),
                    await self.context.share_terms.known(folder),
                )
                stack.enter_context(_meanwhile(self.context.share_terms.follow(folder, terms)))
            bearer = await self.bearer()
            stream = await stack.enter_async_context(self.context.streams.listen(folder.uri, bearer, client_id.text))
            if not (client_id.is_kept and stream.is_resumed) and (self.is_named or client_id.was_used):
                await self._tell([], owner, stream.since, has_gap=True)
                if self._was_live:
                    self.context.came(folder, None)
            self._was_live = self.was_heard = True
            self.state, self.reason, self._failures = State.LIVE, "", 0
            self.is_refused = self.is_in_vain = False
            try:
                await self._hear(stream, owner)
            except asyncio.CancelledError:
                await self._leave(stream, owner, client_id.text)
                raise

    async def _hear(self, stream: EventStream, owner: str) -> None:
        burst = Burst()
        while (events := await stream.next()) is not None:
            is_long = burst.is_long(len(events), time.monotonic())
            self.context.came(self.folder, None if is_long else events)
            await self._tell(events, owner, stream.since, has_gap=is_long)
            burst.last_at = time.monotonic()  # what has come meanwhile may have waited together with these

    async def _leave(self, stream: EventStream, owner: str, client_id: str) -> None:
        """Leave so that another can go on; where that does not succeed, it begins anew."""
        with suppress(ProxyError, TimeoutError, OSError):
            async with asyncio.timeout(LEAVE_S):
                last = await stream.leave()
                is_confirmed = last is not None and len(last) < QUEUE
                if last:
                    self.count.events += len(last)
                    self.context.feed.tell(self.folder.event_tags(last, owner))
                await self.context.feed.spread()
                if not self.context.feed.waiting:
                    await self.context.client_ids.leave(self.folder.name, client_id, is_confirmed=is_confirmed)

    async def _tell(self, events: list[FileEvent], owner: str, since: float, *, has_gap: bool) -> None:
        """Tell of events; with a gap, also that anything in the folder may have changed."""
        try:
            self.count.confirmed += await self.context.confirmation.tell(
                self.folder, events, owner, self.bearer, since, has_gap=has_gap
            )
        finally:
            self.count.events += len(events)
            self.count.gaps += has_gap

    def _failed(self, error: ProxyError) -> float:
        reason = f"{error.title}{f' (code {error.code})' if error.code else ''}"
        pause_s = self._broken(reason)
        self.is_refused = isinstance(error, Refused | InvalidToken)
        if self.is_refused and self._was_live:  # a share may have been closed, and nobody listens any more
            self.context.feed.tell(self.folder.tags())
            self.count.gaps += 1
            self._was_live = False
        has_none = isinstance(error, Refused) and error.code in NO_EVENTS
        self.is_in_vain = not self.was_heard and (has_none or isinstance(error, TooSlow | UpstreamError))
        return REFUSED_S if self.is_refused else pause_s

    def _broken(self, reason: str) -> float:
        """Give how long to leave it alone; said once for a row of failures."""
        if self.state is State.LIVE:
            self.count.breaks += 1
        if reason != self.reason:
            tell = _log.warning if self.is_named else _log.info
            tell("live events are not heard", reason=reason)
        self.state, self.reason = State.FAILING, reason
        pause_s = PAUSES_S[min(self._failures, len(PAUSES_S) - 1)]
        self._failures += 1
        return pause_s * random.uniform(0.8, 1.2)  # noqa: S311 - jitter is no secret


@contextmanager
def _meanwhile(work: Coroutine[Any, Any, None]) -> Iterator[None]:
    """Work while the block lasts."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        yield
    finally:
        task.cancel()
