"""Sign-outs: every process has a copy of all of them, and opens cookies only while its copy is known to be complete.

A sign-out counts here at once. It is answered with 204 when every store holds it: all other processes then refuse the
session within `BELIEF_S`. Why that holds: a process opens a cookie only within `BELIEF_S` after the *beginning* of its
last successful read of each store, measured by its own timer. A read that begins after the sign-out was written finds
it; one that began before has lost its force `BELIEF_S` later. Nobody has to hear of anything, and no two clocks are
compared. A process that cannot reach Redis therefore refuses cookies (503, not 401) until it can: it cannot tell
whether others still sign people out, and would otherwise show pictures to a copied cookie for as long as the trouble
lasts. Bearer tokens, shares and published folders need no session and go on.

What a store lacks is written again with the next step, so that a sign-out that was answered with 503 is written as
soon as it can be, and a Redis that was emptied is filled again by all that remember. Interleaving: Redis comes back
empty, one replica reads that nobody has signed out, another was about to write what it remembers. Hence a value carries
a random generation, and a new generation is not believed before it has settled: until all had the time to write.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

import structlog

from proxy.domain.errors import SessionUnknown, SignOutPending
from proxy.domain.keys import ended_session, ended_user
from proxy.domain.session import SessionRef
from proxy.sessions.ended_sessions import (
    NOBODY,
    TAG_BYTES,
    EndedOfUser,
    EndedSession,
    StoredSignOuts,
    decode,
    encode,
    merged,
    plausible,
)
from proxy.sessions.sign_out_stores import Store, StoreFailed
from proxy.upstream.clock import Clock

BELIEF_S = 1.5
"""How long a process believes its copy to be complete."""
STEP_S = 0.25
"""How often it makes sure of that."""
SETTLE_S = 3 * STEP_S
"""How long after the longest pause of a store every process that can reach it has made a step."""
MIN_STEP_S = 0.05
"""How long sign-outs gather before they are written together."""
TOLD_S = 1.5
"""How long a sign-out waits for all stores before it is answered with 503."""
PATIENCE_S = 2.5
"""How long a cookie waits for the copy to be complete before it is answered with 503."""
_TRIES = 8
"""How often a step begins anew because another process was faster."""

_log = structlog.get_logger("proxy.sessions.sign_outs")


@dataclass(slots=True)
class _Copy:
    """The state of one store."""

    store: Store
    users: dict[str, EndedOfUser] = field(default_factory=dict)
    """What it holds for certain."""
    tag: bytes = b""
    generation: str = ""
    is_settled: bool = False
    settled_at: float = 0.0
    """When its generation may be believed, by the timer."""
    read_at: float = -BELIEF_S
    """When the last read began after which the copy was complete."""
    changes: int = -1
    """How much was known here when it was written."""
    has_failed: bool = False


class SignOuts:
    """All sessions that have ended. Without a store this process is the only one, and forgets at its end.

    `changed` is called when there may be more of them.
    """

    def __init__(self, stores: Sequence[Store], clock: Clock, changed: Callable[[], None] = lambda: None) -> None:
        self._copies = [_Copy(store) for store in stores]
        self._clock = clock
        self._changed = changed
        self._users: dict[str, EndedOfUser] = {}
        self._changes = 0
        self._is_needed = asyncio.Event()
        self._wanted = [asyncio.Event() for _ in stores]
        self._stepped = asyncio.Condition()

    def has_ended(self, session: SessionRef) -> bool:
        """Tell whether a session has ended, as far as is known here."""
        return self._users.get(ended_user(session.user), NOBODY).includes(ended_session(session.id), session.started)

    def end(self, session: SessionRef, ends: float) -> bool:
        """End a session here and now; False when it has ended already."""
        if self.has_ended(session):
            return False
        user = ended_user(session.user)
        ended = EndedOfUser((EndedSession(session.started, ended_session(session.id), ends),))
        self._users[user] = self._users.get(user, NOBODY).merged(ended).pruned(self._now())
        self._changes += 1
        self._changed()
        return True

    def is_told(self, session: SessionRef) -> bool:
        """Tell whether every store holds the end of a session."""
        user, name = ended_user(session.user), ended_session(session.id)
        return all(copy.users.get(user, NOBODY).includes(name, session.started) for copy in self._copies)

    async def told(self, session: SessionRef) -> None:
        """Wait until every store holds the end of a session; raise SignOutPending when that takes too long."""
        self._step_now()
        try:
            async with asyncio.timeout(TOLD_S), self._stepped:
                await self._stepped.wait_for(lambda: self.is_told(session))
        except TimeoutError:
            raise SignOutPending("Other servers could not be told yet; that is tried again until they are.") from None

    async def sure_until(self) -> float:
        """Tell until when the copy is complete, on Cloudreve's clock; raise SessionUnknown when it is not."""
        if not self._is_sure():
            self._step_now()
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S), self._stepped:
                    await self._stepped.wait_for(lambda: self._is_sure() or self._has_failed())
            if not self._is_sure():
                raise SessionUnknown("Whether this session has ended cannot be found out at the moment.")
        return self._clock.now() + self._remaining_s()

    async def follow(self) -> None:
        """Keep copy and stores alike, from the first cookie on."""
        await self._is_needed.wait()
        async with asyncio.TaskGroup() as group:
            for copy, wanted in zip(self._copies, self._wanted, strict=True):
                group.create_task(self._follow(copy, wanted))

    def _is_sure(self) -> bool:
        return self._remaining_s() > 0

    def _has_failed(self) -> bool:
        """Tell whether a store did not answer: nobody waits for it then."""
        return any(copy.has_failed for copy in self._copies)

    def _remaining_s(self) -> float:
        read_at = min((copy.read_at for copy in self._copies), default=float("inf"))
        return read_at + BELIEF_S - self._clock.timer()

    def _step_now(self) -> None:
        self._is_needed.set()
        for wanted in self._wanted:
            wanted.set()

    async def _follow(self, copy: _Copy, wanted: asyncio.Event) -> None:
        while True:
            try:
                await self._step(copy)
                has_failed = False
            except StoreFailed:
                has_failed = True
            if has_failed != copy.has_failed:
                copy.has_failed = has_failed
                tell = _log.warning if has_failed else _log.info
                tell("sign-outs cannot be shared" if has_failed else "sign-outs are shared", store=copy.store.name)
            async with self._stepped:
                self._stepped.notify_all()
            await asyncio.sleep(MIN_STEP_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(STEP_S):
                    await wanted.wait()
            wanted.clear()

    async def _step(self, copy: _Copy) -> None:
        """Read what is new in a store, and write what it lacks."""
        for _ in range(_TRIES):
            started = self._clock.timer()
            value = await copy.store.get(copy.tag)
            if value is not None:
                self._take(copy, value)
            if copy.is_settled or self._clock.timer() >= copy.settled_at:
                copy.read_at = started
            if await self._write(copy):
                return
        raise StoreFailed

    def _take(self, copy: _Copy, value: bytes) -> None:
        kept = decode(value) if value else None
        known = copy.generation
        copy.tag = value[:TAG_BYTES]
        copy.generation, copy.is_settled = (kept.generation, kept.is_settled) if kept else ("", False)
        copy.users = plausible(kept.users, self._clock.now() if self._clock.is_set else inf) if kept else {}
        copy.changes = -1
        if copy.generation != known or not copy.generation:
            copy.settled_at = self._clock.timer() + copy.store.settle_s
        self._users = merged(self._users, copy.users, self._now())
        self._changed()

    def _now(self) -> float:
        """Tell the time by which sessions end; until it is known, none has ended by itself."""
        return self._clock.now() if self._clock.is_set else 0.0

    async def _write(self, copy: _Copy) -> bool:
        """Write what a store lacks; False when another process has written meanwhile."""
        is_settled = copy.is_settled or self._clock.timer() >= copy.settled_at
        if copy.changes == self._changes and is_settled == copy.is_settled:
            return True
        changes, users = self._changes, merged(self._users, copy.users, self._now())
        lacks = users != merged(copy.users, {}, self._now())
        if lacks or is_settled != copy.is_settled or not copy.generation:
            generation = copy.generation or secrets.token_hex(8)
            value = encode(StoredSignOuts(users, generation, is_settled))
            if not await copy.store.set(copy.tag, value):
                return False
            copy.tag, copy.generation, copy.is_settled = value[:TAG_BYTES], generation, is_settled
            copy.users = users
        copy.changes = changes
        return True
