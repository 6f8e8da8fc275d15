"""Acts of visitors, owners and operators; every answer is judged as soon as it is there."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from http.cookies import SimpleCookie
from itertools import count

from proxy.standin.gourl import Address
from tests.harness.browser import COOKIE
from tests.leaks.roster import NAMES, token_of
from tests.leaks.scene import LANES, TICKETS, Replica, Scene
from tests.leaks.verdict import Court, Given, check_no_picture, check_validator, is_for_all, is_public
from tests.leaks.visitors import BELIEF_S, Allowed, Ask, Session, Token
from tests.leaks.wire import Reply
from tests.leaks.witness import MARGIN_S, SLACK_S, Leave, Who

MEMORY = 6
"""How many requests are asked again."""
ANONYMOUS = Ask("cloudreve://my")
NO = frozenset({401, 402, 403, 404})
NO_S = 5.0
"""How long a no may be repeated that Cloudreve does not mean any more."""


class Play:
    """Acts on a scene, and keeps what visitors keep: tokens, cookies, sealed URLs, validators, their last requests."""

    def __init__(self, scene: Scene, seen: Counter[str]) -> None:
        self.scene = scene
        self.seen = seen
        self.court = Court(scene.witness, scene.cards, seen)
        self.tokens: dict[str, list[Token]] = {}
        self.sessions: list[Session] = []
        self.given: list[Given] = []
        self._numbers = count()
        self.pleased: dict[bytes, tuple[Ask, Replica]] = {}
        """The last requests that brought something, by their bytes."""
        self._denied: dict[tuple[Replica, int, Who, Address], float] = {}
        """When somebody was last told that Cloudreve says no, by which replica in which of its generations."""

    def hand_out(self, names: Collection[str] = NAMES, life_s: float = 30_000.0) -> None:
        """Give somebody another access token, or something that looks like one."""
        for name in names:
            self.tokens.setdefault(name, []).append(token_of(self.scene.cloudreve, name, life_s))

    def etag(self, number: int) -> str:
        """Choose among the validators that anybody has seen; none for 0."""
        if number == 1:
            return "*"
        known = list(self.court.shown)
        return known[-number % len(known)] if number and known else ""

    async def everybody(self, uri: str, replica: Replica, hint: str) -> None:
        """Let everybody ask for one thing, one after the other: again and again, and with what others have seen."""
        asks = [Ask(uri, hint=hint), Ask(uri, hint=hint, ticket=TICKETS[0])]
        asks += [Ask(uri, token=tokens[-1], hint=hint) for tokens in self.tokens.values()]
        asks += [Ask(uri, session=session, cookie=session.cookies[-1]) for session in self.sessions[-3:]]
        for ask in asks:
            await self.grow_used(ask, replica)
            await self.look([replace(ask, etag=", ".join(list(self.court.shown)[-5:]))], replica)

    async def pass_on(self, ask: Ask, others: Sequence[Ask]) -> None:
        """Ask for a sealed URL, and let others follow it at either replica."""
        one, other = self.scene.replicas
        known = len(self.given)
        await self.look([ask], one)
        for given in self.given[known:]:
            for follower, replica in zip(others, (other, one, other), strict=False):
                await self.follow(given, replica, follower)

    async def outlive(self, ask: Ask) -> None:
        """Ask for a sealed URL, and follow it before its end and after."""
        known = len(self.given)
        await self.look([ask], self.scene.replicas[0])
        for given in self.given[known:]:
            for remaining_s in (0.0, given.until + MARGIN_S + SLACK_S + 1.0 - self.scene.now):
                self.scene.hours.pass_by(max(remaining_s, 0.0))
                for replica in self.scene.replicas:
                    await self.follow(given, replica, ANONYMOUS)

    def change_key(self) -> None:
        """Let Cloudreve sign with another key: no token of before is good any more."""
        self.scene.cloudreve.secret += "-anew"
        for token in (token for tokens in self.tokens.values() for token in tokens):
            token.voided = min(token.voided or self.scene.now, self.scene.now)
        for session in self.sessions:
            session.ends, session.is_void = min(session.ends, self.scene.now + BELIEF_S), True

    async def look(self, asks: Sequence[Ask], replica: Replica, *, lane: int = 0, cut: int = 0) -> None:
        """Send requests on one connection: in one piece, or in two where `cut` says."""
        raw, heads = b"".join(ask.raw for ask in asks), [ask.method == "HEAD" for ask in asks]
        pieces = [raw[:cut], raw[cut:]] if 0 < cut < len(raw) else [raw]
        is_over = any(ask.session is not None and ask.session.ended is not None for ask in asks)
        begun, heard = self.scene.now, is_over and replica.hears_redis
        replies = await replica.say(pieces, heads, lane)
        hears = heard and replica.hears_redis
        for ask, reply in zip(asks, replies, strict=True):
            self._judge(ask, reply, replica, begun, hears=hears)

    async def grow_used(self, ask: Ask, replica: Replica) -> None:
        """Ask until the answer needs no more looking at."""
        for _ in range(4):
            await self.look([ask], replica)

    async def again(self) -> None:
        """Ask once more for all that was lately given, byte for byte, where it was given and elsewhere."""
        one, other = self.scene.replicas
        for ask, replica in list(self.pleased.values()):
            for asked in (replica, replica, other if replica is one else one):
                await self.look([ask], asked)
        for given in self.given[-2:]:
            for asked in (one, other):
                await self.follow(given, asked, ANONYMOUS)

    async def crowd(self, asks: Sequence[Ask]) -> None:
        """Let all ask at once, first at one replica and then at the other."""
        max_batches = [(replica, lane) for replica in self.scene.replicas for lane in range(LANES)]
        jobs = (self.look([ask], replica, lane=lane) for ask, (replica, lane) in zip(asks, max_batches, strict=False))
        await asyncio.gather(*jobs)

    async def endure(self, asks: Sequence[Ask], replica: Replica, seconds: float) -> None:
        """Go on asking while Cloudreve is away, for old things and new ones, until all know that it is back."""
        self.scene.be_out(is_out=True)
        self.scene.hours.pass_by(seconds)
        await self.again()
        for ask in asks:
            await self.look([ask], replica)
        self.scene.be_out(is_out=False)
        for each in self.scene.replicas:
            while await self._is_out_for(each):
                pass

    async def _is_out_for(self, replica: Replica) -> bool:
        """Tell whether a gateway believes that Cloudreve is away: ask for what it has to ask about."""
        ask = Ask(f"cloudreve://{self.scene.shares[0].id}@share/{next(self._numbers)}.png")
        return (await replica.say([ask.raw], [False]))[0].status == HTTPStatus.SERVICE_UNAVAILABLE

    async def follow(self, given: Given, replica: Replica, ask: Ask, *, tampered: int = 0) -> None:
        """Follow a sealed URL, as it is or changed in one place, with whatever one has beside it."""
        path = given.path
        if tampered:
            at = len("/thumb/s/") + tampered % (len(path) - len("/thumb/s/"))
            path = f"{path[:at]}{'B' if path[at] != 'B' else 'C'}{path[at + 1 :]}"
        raw = ask.raw.replace(ask.raw.split(b" ")[1], path.encode(), 1)
        for _ in range(3):
            [reply] = await replica.say([raw], [ask.method == "HEAD"])
            if tampered:
                assert reply.status == 403
                check_no_picture(reply)
            else:
                self.court.judge_opened(reply, ask.method, given, self.scene.now)
                self._check_beside(ask, reply)

    def lose_notes(self) -> None:
        """Take note that Redis has lost all it knew."""
        for session in self.sessions:
            session.is_noted = False

    def _judge(self, ask: Ask, reply: Reply, replica: Replica, begun: float, *, hears: bool) -> None:
        if ask.is_info and reply.status == HTTPStatus.OK:
            reply = self.court.told(reply)
            if reply.status == HTTPStatus.ACCEPTED:
                return
        scene, now = self.scene, self.scene.now
        allowed = ask.allowed(scene.cloudreve, replica, hears=hears, checks_here=scene.terms.checks_here)
        past = now - (replica.bridge_s if scene.is_out else 0.0)
        if ask.is_api:
            covers = self.court.covers(allowed.public | allowed.private, ask.address, now, begun)
            given = self.court.judge_link(reply, covers, is_public=bool(allowed.public))
            if given is not None:
                self.given.append(given)
                self._be_pleased(ask, replica)
            return
        whose = allowed.public if is_for_all(reply) else allowed.private
        covers = self.court.covers(whose, ask.address, past, begun)
        covers = [leave for leave in covers if not self._is_denied(leave, replica, now)]
        self.court.judge(reply, "HEAD" if ask.is_info else ask.method, covers, now)
        self._check_beside(ask, reply)
        assert ask.address is None or ask.address.user or not is_public(reply), "it means something else to others"
        if reply.status in (200, 304):
            self._be_pleased(ask, replica)
            if ask.session is not None and not is_for_all(reply):
                self.keep_cookie(ask.session, reply)

        elif reply.status in NO and not scene.is_out and ask.site != "cross-site":
            self._deny(allowed, ask.address, replica)

    def _deny(self, allowed: Allowed, address: Address | None, replica: Replica) -> None:
        """Take note that somebody has heard a no; not where it is uncertain who that was."""
        whose = allowed.public | allowed.private
        if address is not None and len(whose) == 1:
            [who] = whose
            self._denied[replica, replica.generation, who, address] = self.scene.now

    def _is_denied(self, leave: Leave, replica: Replica, now: float) -> bool:
        """Tell whether a leave is over, and was followed by a no: then it bridges no outage."""
        denied = self._denied.get((replica, replica.generation, leave.who, leave.address), 0.0)
        return now > leave.until + SLACK_S and denied > leave.since + NO_S + SLACK_S

    def _be_pleased(self, ask: Ask, replica: Replica) -> None:
        self.pleased.setdefault(ask.raw, (ask, replica))
        while len(self.pleased) > MEMORY:
            del self.pleased[next(iter(self.pleased))]

    def _check_beside(self, ask: Ask, reply: Reply) -> None:
        check_validator(reply, ask.etag)
        if ask.site == "cross-site" and reply.status in (200, 304):
            assert is_for_all(reply), "another site's page shows what is private"

    def keep_cookie(self, session: Session, reply: Reply) -> None:
        """Take note of a renewed session, if there is one."""
        cookie = session_cookie(reply)
        session.cookies += [cookie] if cookie else []


def session_cookie(reply: Reply) -> str:
    """Give the session's cookie that an answer sets; empty where it sets none, or takes it away."""
    found = ""
    for line in reply.all("set-cookie"):
        with suppress(KeyError):
            found = SimpleCookie(line)[COOKIE].value
    return found
