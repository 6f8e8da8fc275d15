"""Nobody sees what Cloudreve has granted to others only, whatever happens in whatever order.

Hypothesis makes up plays: visitors, owners and operators act on a stand-in Cloudreve, two replicas and a real Redis.
Every answer is held against what Cloudreve itself was seen to grant. LEAKS_PLAYS and LEAKS_ACTS make a soak of it.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from proxy.pictures.encoders import Encoders
from proxy.standin.library import Share
from tests.conftest import StartRedis
from tests.harness.redis_server import RedisServer
from tests.leaks.changes import (
    DEALINGS,
    FILE_CHANGES,
    LATER_S,
    OPERATIONS,
    SHARE_CHANGES,
    SITE_CHANGES,
    Dealing,
    FileChange,
    Operation,
    ShareChange,
    SiteChange,
    change_file,
    change_share,
    change_site,
    deal_with,
    deny,
    operate,
    prime,
)
from tests.leaks.play import Play
from tests.leaks.roster import GOOD, NAMES
from tests.leaks.scene import LANES, PATHS, Replica, Scene, Terms, encoded_here
from tests.leaks.secrecy import check_nothing_told, listening
from tests.leaks.sessions import agree, begin, come_and_go
from tests.leaks.visitors import API, OWN, Ask, Token
from tests.leaks.wishes import HINTS, SITES, Site, Wish, places, plain_places, wishes

PLAYS = int(os.environ.get("LEAKS_PLAYS", "20"))
ACTS = int(os.environ.get("LEAKS_ACTS", "40"))

pytestmark = pytest.mark.timeout(300 + PLAYS * ACTS)

terms = st.builds(
    Terms,
    checks_here=st.booleans(),
    renews=st.booleans(),
    bridge_s=st.sampled_from((0.0, 0.0, 120.0)),
    is_small=st.sampled_from((False, False, True)),
    is_foreign=st.booleans(),
    has_etags=st.booleans(),
)
turns = st.integers(0, 1)
few = st.integers(0, 4)
outcomes = (
    *("GET 200", "GET 304", "HEAD 200", "GET 401", "GET 402", "GET 403", "GET 404"),
    *("link 0", "public", "sealed 200", "sealed 410"),
    *("image/png", "image/webp", "image/avif", "info 200", "info 401"),
)
"""Outcomes that have to have been seen, lest the test be about nothing."""


class Leaks(RuleBasedStateMachine):
    """One play."""

    def __init__(self, redis: RedisServer, seen: Counter[str]) -> None:
        super().__init__()
        self._redis = redis
        self._seen = seen
        self._loop = asyncio.Runner()
        self._stack = ExitStack()
        self._told: list[Any] = []
        self._play: Play | None = None

    @initialize(terms=terms)
    def begin(self, terms: Terms) -> None:
        """Set the stage."""
        self._told = self._stack.enter_context(listening())
        self._redis.command("FLUSHALL")
        self._play = Play(Scene(self._redis, terms), self._seen)
        self._do(self._play.scene.__aenter__())
        self._play.hand_out()
        self.throng()
        self.outlive(Wish(Site(None, "cloudreve://my{path}", PATHS[1], "", ""), "alice"))
        for name in ("alice", ""):
            self.come_and_go(name, who=0, turn=0)
        self.change_file(PATHS[1], who=0, what="repaint")
        self.deny(PATHS[1], who=0)
        self._play.hand_out()

    def teardown(self) -> None:
        """Leave, and look at what has been said."""
        if self._play is not None:
            self._told += self._loop.run(self._play.scene.metrics())
            self._do(self._play.scene.__aexit__())
            self._stack.close()
            check_nothing_told(self._play, self._told)
        self._loop.close()

    @property
    def play(self) -> Play:
        """The play that has begun."""
        assert self._play is not None
        return self._play

    @rule(wish=wishes, turn=turns, times=st.integers(1, 4), cut=st.sampled_from((0, 0, 0, 7, 60, 10_000)))
    def look(self, wish: Wish, turn: int, times: int, cut: int) -> None:
        """Ask, and ask the same again."""
        ask = wish.ask(self.play)
        for _ in range(times):
            self._do(self.play.look([ask], self._replica(turn), cut=cut))

    @rule(drawn=st.lists(wishes, min_size=2, max_size=4), turn=turns, cut=st.sampled_from((0, 30, 300)))
    def hurry(self, drawn: list[Wish], turn: int, cut: int) -> None:
        """Send several requests on one connection without waiting for answers."""
        self._do(self.play.look([wish.ask(self.play) for wish in drawn], self._replica(turn), cut=cut))

    @rule(place=places | plain_places, drawn=st.lists(wishes, min_size=2, max_size=6), is_cold=st.booleans())
    def crowd(self, place: Site, drawn: list[Wish], is_cold: bool) -> None:
        """Let several ask for one thing at once, which nobody has seen lately."""
        if is_cold:
            self.play.scene.hours.pass_by(LATER_S)
        self._do(self.play.crowd([wish.ask(self.play, place) for wish in drawn]))

    @rule()
    def throng(self) -> None:
        """Let all owners open all that is theirs at once, as nobody has for long."""
        self.play.scene.hours.pass_by(LATER_S)
        asks = [Ask(f"cloudreve://my{path}", token=self._token_of(who)) for path in PATHS[:LANES] for who in (0, 1)]
        self._do(self.play.crowd(asks))

    @rule(place=places, turn=turns, hint=st.sampled_from(("", HINTS[0])))
    def everybody(self, place: Site, turn: int, hint: str) -> None:
        """Let everybody ask for one thing, one after the other."""
        self._do(self.play.everybody(place.uri(self.play), self._replica(turn), hint))

    @rule(wish=wishes, place=plain_places, name=st.sampled_from(("", *GOOD)), others=st.lists(wishes, max_size=3))
    def pass_on(self, wish: Wish, place: Site, name: str, others: list[Wish]) -> None:
        """Ask for a sealed URL and pass it on."""
        ask = replace(wish, place=place, credential=name, route=API).ask(self.play)
        self._do(self.play.pass_on(ask, [other.ask(self.play) for other in others]))

    @rule(wish=wishes | st.builds(Wish, plain_places, st.sampled_from(("", *GOOD))))
    def outlive(self, wish: Wish) -> None:
        """Ask for a sealed URL, and follow it until it is over."""
        self._do(self.play.outlive(replace(wish, route=API).ask(self.play)))

    @rule(drawn=st.lists(wishes, min_size=1, max_size=2), turn=turns, seconds=st.sampled_from((0, 61, 130, 3625)))
    def endure(self, drawn: list[Wish], turn: int, seconds: int) -> None:
        """Go on asking while Cloudreve is away."""
        self._do(self.play.endure([wish.ask(self.play) for wish in drawn], self._replica(turn), seconds))

    @rule(number=few, turn=turns, wish=wishes, tampered=st.sampled_from((0, 0, 0, 1, 50, 333, -1)))
    def follow(self, number: int, turn: int, wish: Wish, tampered: int) -> None:
        """Follow a sealed URL, whoever it was given to."""
        for given in self.play.given[-1 - number :][:1]:  # a precondition would depend on how answers came out
            self._do(self.play.follow(given, self._replica(turn), wish.ask(self.play), tampered=tampered))

    @rule(name=st.sampled_from((*GOOD, *NAMES)), turn=turns, site=st.sampled_from(("", *SITES)))
    def sign_in(self, name: str, turn: int, site: str) -> None:
        """Turn a token into a cookie."""
        self._do(begin(self.play, self.play.tokens[name][-1], self._replica(turn), site))

    @rule(who=st.integers(0, 1), turn=turns)
    def agree(self, who: int, turn: int) -> None:
        """Sign in by way of the consent page."""
        self._do(agree(self.play, self.play.scene.accounts[who], self._replica(turn)))

    @rule(name=st.sampled_from(("", "", *GOOD)), who=st.integers(0, 1), turn=turns)
    def come_and_go(self, name: str, who: int, turn: int) -> None:
        """Sign in, with a token or by way of the consent page, and out again."""
        token, account = self.play.tokens[name][-1] if name else None, self.play.scene.accounts[who]
        self._do(come_and_go(self.play, token, account, self._replica(turn)))

    @rule(
        number=few,
        turn=turns,
        site=st.sampled_from(SITES),
        age=st.integers(0, 2),
        what=st.sampled_from(DEALINGS),
    )
    def deal_with_session(self, number: int, turn: int, site: str, age: int, what: Dealing) -> None:
        """Sign out, have Cloudreve end it, or ask whose it is."""
        for session in self.play.sessions[-1 - number :][:1]:
            self._do(deal_with(self.play, session, -1 - age % len(session.cookies), self._replica(turn), site, what))
            self._do(self.play.again())

    @rule(seconds=st.sampled_from((1, 12, 61, 130, 310, 1500, 3500, 3625, 3625, 7300)))
    def wait(self, seconds: int) -> None:
        """Let time go by."""
        self.play.scene.hours.pass_by(seconds)
        self._do(self.play.again())

    @rule(name=st.sampled_from(GOOD), life_s=st.sampled_from((30.0, 400.0, 30_000.0)), place=places, turn=turns)
    def issue(self, name: str, life_s: float, place: Site, turn: int) -> None:
        """Give somebody another token, with which they look around."""
        self.play.hand_out([name], life_s)
        token = self.play.tokens[name][-1]
        for uri in (OWN, place.uri(self.play)):
            self._do(self.play.grow_used(Ask(uri, token=token), self._replica(turn)))

    @rule(path=st.sampled_from(PATHS), who=st.integers(0, 1), what=st.sampled_from(FILE_CHANGES))
    def change_file(self, path: str, who: int, what: FileChange) -> None:
        """Upload, delete, or change what storage holds, of what its owner has just seen."""
        self._do(self.play.grow_used(Ask(f"cloudreve://my{path}", token=self._token_of(who)), self._replica(who)))
        change_file(self.play, self.play.scene.accounts[who], path, what)
        self._do(self.play.again())

    @rule(path=st.sampled_from(PATHS), who=st.integers(0, 1))
    def deny(self, path: str, who: int) -> None:
        """Delete what its owner has seen, before Cloudreve goes away."""
        self._do(deny(self.play, self.play.scene.accounts[who], self._token_of(who), path))

    @rule(number=few, what=st.sampled_from(SHARE_CHANGES))
    def change_share(self, number: int, what: ShareChange) -> None:
        """Close a share, open it again, or let in others than before."""
        change_share(self.play, self._share(number), what)
        self._do(self.play.again())

    @rule(number=few, hint=st.sampled_from(HINTS))
    def prime(self, number: int, hint: str) -> None:
        """Let others use the hint with which somebody has entered a share."""
        self._do(prime(self.play, self._share(number), hint))

    @rule(what=st.sampled_from(OPERATIONS), turn=turns)
    def operate(self, what: Operation, turn: int) -> None:
        """Empty Redis, kill or start it, or exchange a replica."""
        self._do(operate(self.play, self._replica(turn), what))
        self._do(self.play.again())

    @rule(what=st.sampled_from(SITE_CHANGES))
    def change_site(self, what: SiteChange) -> None:
        """Change how Cloudreve itself is."""
        change_site(self.play, what)
        self._do(self.play.again())

    def _token_of(self, who: int) -> Token:
        return self.play.tokens[self.play.scene.accounts[who].name][-1]

    def _share(self, number: int) -> Share:
        return self.play.scene.shares[number % len(self.play.scene.shares)]

    def _replica(self, turn: int) -> Replica:
        return self.play.scene.replicas[turn]

    def _do(self, work: Coroutine[Any, Any, object]) -> None:
        self._loop.run(work)


def test_nobody_sees_what_only_others_were_granted(start_redis: StartRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other's picture, none with a refusal, nothing for all that is not everybody's, and no secret in the logs."""
    redis, seen = start_redis(), Counter[str]()
    monkeypatch.setattr(Encoders, "_ask", encoded_here)
    run_state_machine_as_test(
        lambda: Leaks(redis, seen),  # type: ignore[arg-type]  # it wants no class, but what makes one
        settings=settings(
            max_examples=PLAYS,
            stateful_step_count=ACTS,
            deadline=None,
            derandomize="LEAKS_PLAYS" not in os.environ,
            database=None,
            phases=[Phase.generate, *([Phase.shrink] if "LEAKS_SHRINK" in os.environ else [])],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert {outcome for outcome in outcomes if not seen[outcome]} == set()
