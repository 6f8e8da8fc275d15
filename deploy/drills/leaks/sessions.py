"""Sessions: begun with a token, used as cookies, ended, and their copied cookies used again at every replica."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from random import Random

from deploy.drills.leaks.findings import Findings
from deploy.drills.leaks.stage import REPLICAS, Stage
from deploy.drills.leaks.truth import PUBLIC, Window
from deploy.drills.leaks.wire import ask

PATH = "/api/session"
COOKIE = "thumb_session"
HOLDS_S = 2.0
"""How long after a 204 every process refuses."""
SLACK_S = 0.3
ALONE_S = 2 * HOLDS_S
"""How long after a sign-out another replica may not have read of it, with Redis in trouble."""
REMEMBERED = 16
"""Of a user who has ended so many, older ones end as well."""
KEPT = 40
"""So many sessions of before are still tried."""


@dataclass(slots=True)
class Session:
    """A session, and from when on each replica refuses it."""

    user: str
    cookie: str = field(repr=False)
    over_from: list[float] = field(default_factory=lambda: [math.inf] * REPLICAS)
    ending_from: float = math.inf
    """When somebody first tried to end it."""
    ended_at: float = 0.0
    """When this was first said to hold everywhere."""
    told: int = -1
    """The replica that has said so."""

    @property
    def story(self) -> str:
        """Tell it to people."""
        ago_s = time.monotonic() - self.ended_at
        ended = f" that ended {ago_s:.2f} s ago at replica {self.told}" if self.ended_at else ""
        return f"session of {self.user}{ended}"

    def is_over(self, replica: int, window: Window) -> bool:
        """Tell whether a replica must refuse it by now."""
        return window.begin > self.over_from[replica]

    def is_live(self, window: Window) -> bool:
        """Tell whether every replica must take it."""
        return window.end < self.ending_from

    def people(self, replica: int, window: Window) -> frozenset[str]:
        """List for whom its cookie may be taken."""
        return frozenset({PUBLIC} if self.is_over(replica, window) else {PUBLIC, self.user})


class Sessions:
    """Those of one round."""

    def __init__(self, stage: Stage, random: Random, findings: Findings) -> None:
        self._stage = stage
        self._random = random
        self._findings = findings
        self.all: list[Session] = []
        self._ending: int | None = None
        """The replica that is being exchanged: what it is told now may die with it."""

    async def act(self) -> None:
        """Begin one, end one, or ask whose one is."""
        live = [session for session in self.all if session.ending_from == math.inf]
        if len(live) < 3 or self._random.random() < 0.2:  # noqa: PLR2004 - a few
            await self._begin()
        elif self._random.random() < 0.4:  # noqa: PLR2004
            await self._end(self._random.choice(live))
        elif self._random.random() < 0.1:  # noqa: PLR2004
            await self._end(self._random.choice(self.all[-KEPT:]))
        else:
            await self._ask_whose(self._random.choice(self.all[-KEPT:]))

    async def restart(self) -> None:
        """Exchange a replica: what it alone remembered is lost, what Redis has kept is not."""
        replica = self._random.randrange(REPLICAS)
        since = time.monotonic() - ALONE_S
        known = self._doubt(replica, since)
        self._findings.note(f"replica {replica} killed")
        self._ending = replica
        await self._stage.restart(replica)
        self._ending = None
        self._findings.note(f"replica {replica} started")
        known += self._doubt(replica, since)
        for session, other in known:
            if session.ended_at > max(self._findings.lost_at, time.monotonic() if self._findings.state else 0.0):
                session.over_from[other] = time.monotonic() + HOLDS_S + SLACK_S

    def _doubt(self, replica: int, since: float) -> list[tuple[Session, int]]:
        """Expect nothing of a replica that is about to end; where it alone has been told, of none.

        A sign-out is lost when Redis and the replica that was told lose it before another has read it.
        """
        doubted = []
        for session in self.all:
            is_alone = session.told == replica and session.ended_at > since
            for other in range(REPLICAS) if is_alone else (replica,):
                if session.over_from[other] < math.inf:
                    doubted.append((session, other))
                    session.over_from[other] = math.inf
        return doubted

    def any(self) -> Session | None:
        """Choose one to ask with."""
        return self._random.choice(self.all[-KEPT:]) if self.all else None

    async def _begin(self) -> None:
        user = self._random.choice(list(self._stage.site.users.values()))
        where = self._stage.door(self._random.randrange(REPLICAS)) + PATH
        reply, _ = await ask(self._stage.http, "POST", where, {"Authorization": f"Bearer {user.token}"})
        self._findings.count(f"sign-in {reply.status}")
        for line in reply.cookies:
            if COOKIE in (morsels := SimpleCookie(line)):
                self.all.append(Session(user.name, morsels[COOKIE].value))

    async def _end(self, session: Session) -> None:
        replica = self._random.randrange(REPLICAS)
        where, fields = self._stage.door(replica) + PATH, {"Cookie": f"{COOKIE}={session.cookie}"}
        session.ending_from = min(session.ending_from, time.monotonic())
        reply, window = await ask(self._stage.http, "DELETE", where, fields)
        self._findings.count(f"sign-out {reply.status}")
        if reply.status in (204, 503) and self._stage.terms.workers == 1:  # the process that was told refuses at once
            self._refuses_from(session, replica, window.end)
        if reply.status == 204:  # noqa: PLR2004 - no content: it holds everywhere
            if not session.ended_at:
                session.ended_at, session.told = window.end, replica
            for other in range(REPLICAS):
                self._refuses_from(session, other, window.end + HOLDS_S + SLACK_S)
            if replica == self._ending:  # workers of a killed replica go on for a moment
                self._doubt(replica, session.ended_at - 1.0)
        elif reply.status not in (0, 503):
            self._findings.violate(f"sign-out {reply.status}", f"{reply.body[:200]!r}")

    def _refuses_from(self, session: Session, replica: int, since: float) -> None:
        session.over_from[replica] = min(session.over_from[replica], since)

    async def _ask_whose(self, session: Session) -> None:
        replica = self._random.randrange(REPLICAS)
        where, fields = self._stage.door(replica) + PATH, {"Cookie": f"{COOKIE}={session.cookie}"}
        reply, window = await ask(self._stage.http, "GET", where, fields)
        self._findings.count(f"whose session {reply.status}")
        if reply.status == 200 and session.is_over(replica, window):  # noqa: PLR2004 - signed in
            late_s = window.begin - session.over_from[replica]
            self._findings.violate("a session that is over", f"{session.story}, replica {replica}, {late_s:.2f} s late")
        if reply.status == 401 and session.is_live(window) and self._later(session) < REMEMBERED:  # noqa: PLR2004
            self._findings.violate("a living session is refused", f"replica {replica}")

    def _later(self, session: Session) -> int:
        """Count the sessions of the same user that began later and have ended."""
        later = self.all[self.all.index(session) + 1 :]
        return sum(each.user == session.user and each.ending_from < math.inf for each in later)
