"""Visitors: each asks for what exists, or did, as somebody or nobody, and again; what comes is judged."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from http import HTTPStatus
from random import Random
from typing import NamedTuple
from urllib.parse import urlsplit

from deploy.drills.leaks.findings import Findings
from deploy.drills.leaks.judge import Asked, Judge
from deploy.drills.leaks.owners import Owner
from deploy.drills.leaks.sessions import COOKIE, Session, Sessions
from deploy.drills.leaks.site import see, uri_of
from deploy.drills.leaks.stage import REPLICAS, Stage
from deploy.drills.leaks.truth import PUBLIC, Target, Window
from deploy.drills.leaks.wire import Reply, ask, thumb

THUMB = "/thumb"
API = "/api/v4/file/thumb"
INFO = "/thumb/info"
GARBAGE = "garbage"
ACCEPTED = ("", "", "image/webp,*/*;q=0.8", "image/avif,image/webp,*/*;q=0.8")
SIZES = ("", "", "", "&w=64", "&w=40&h=30")
_LINKS = 30
_DIRECTLY = 0.05
"""The share of questions around which Cloudreve itself is asked."""


class Link(NamedTuple):
    """A sealed URL."""

    asked: Asked
    path: str
    ends: float


@dataclass(frozen=True, slots=True)
class Wish:
    """Something to ask for, by somebody."""

    target: Target
    bearer: str = PUBLIC
    session: Session | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    is_head: bool = False
    size: str = ""
    """What is added to the query."""

    @property
    def story(self) -> str:
        """Tell it to people, without a credential."""
        session = self.session.story if self.session is not None else ""
        return f"{self.bearer or session or 'nobody'}, {self.target}, {self.size} {sorted(self.fields)}"


class Visitor:
    """One after the other, at either replica."""

    def __init__(
        self,
        stage: Stage,
        owners: Sequence[Owner],
        sessions: Sessions,
        judge: Judge,
        random: Random,
        findings: Findings,
    ) -> None:
        self._stage = stage
        self._owners = owners
        self._sessions = sessions
        self._judge = judge
        self._random = random
        self._findings = findings
        self._links: deque[Link] = deque(maxlen=_LINKS)

    async def act(self) -> None:
        """Ask for a picture a few times, for a sealed URL, or follow one."""
        chance, wish = self._random.random(), self._wish()
        if chance < 0.15 and self._links:  # noqa: PLR2004 - now and then
            await self._follow(self._random.choice(self._links))
        elif chance < 0.3 and wish.session is None:  # noqa: PLR2004
            await self._get_link(wish)
        elif chance < 0.36:  # noqa: PLR2004
            await self._inquire(wish)
        else:
            for _ in range(self._random.choice((1, 1, 2, 4))):
                await self._look(wish)

    def _wish(self) -> Wish:
        is_head = self._random.random() < 0.05  # noqa: PLR2004
        wish = Wish(self._target(), fields=dict(self._extras()), is_head=is_head, size=self._random.choice(SIZES))
        match self._random.choice(("nobody", "user", "user", "session", "session", GARBAGE)):
            case "user":
                return replace(wish, bearer=self._random.choice(list(self._stage.site.users)))
            case "session":
                return replace(wish, session=self._sessions.any())
            case "garbage":
                return replace(wish, bearer=GARBAGE) if self._random.random() < 0.2 else wish  # noqa: PLR2004
        return wish

    def _target(self) -> Target:
        owner = self._random.choice(self._owners)
        path = self._random.choice(owner.places())
        match self._random.choice(("my", "my", "id", "share", "share")):
            case "my":
                return Target("my", "", path)
            case "id":
                return Target("id", owner.name, path)
        share = self._random.choice(owner.shares[-8:])
        paths = [each.removeprefix(share.folder) for each in owner.places() if each.startswith(f"{share.folder}/")]
        password = self._random.choice((share.password, share.password, "", "wrong1"))
        return Target("share", share.id, self._random.choice(paths), password)

    def _extras(self) -> list[tuple[str, str]]:
        """Choose header fields that may come with any question."""
        given = []
        hints = [hint for owner in self._owners for hint in owner.hints[-20:]]
        if hints and self._random.random() < 0.3:  # noqa: PLR2004
            given.append(("X-Cr-Context-Hint", self._random.choice(hints)))
        if self._judge.etags and self._random.random() < 0.4:  # noqa: PLR2004
            seen = list(self._judge.etags)[-60:]
            given.append(("If-None-Match", ", ".join(self._random.sample(seen, min(len(seen), 20)))))
        if self._random.random() < 0.05:  # noqa: PLR2004
            given.append(("Range", "bytes=0-99"))
        accept = self._random.choice(ACCEPTED)
        return [*given, ("Accept", accept)] if accept else given

    async def _look(self, wish: Wish) -> None:
        """Ask for a picture."""
        asked = await self._ask(wish, THUMB)
        await self._judge.judge(asked)
        if self._random.random() < _DIRECTLY and len(asked.people) == 1:
            (who,) = asked.people
            if who != PUBLIC or asked.target.root != "my":  # there it is the gateway that publishes
                begin = time.monotonic()
                version = await see(self._stage.http, self._stage.site, who, asked.uri)
                await self._judge.check_model(replace(asked, window=Window(begin, time.monotonic())), version)

    async def _inquire(self, wish: Wish) -> None:
        """Ask what is known of a picture, which is as much as to be shown it."""
        asked = await self._ask(replace(wish, is_head=False), INFO)
        if asked.reply.status != HTTPStatus.OK:
            await self._judge.judge(asked)
            return
        [told] = json.loads(asked.reply.body)["pictures"]
        self._findings.count(f"{told['status']} for what is known of a picture")
        if told["status"] == HTTPStatus.ACCEPTED:
            return
        if told["status"] != HTTPStatus.OK and set(told) - {"uri", "status", "problem", "retry_after_s"}:
            self._findings.violate("a no that tells of a picture", f"{asked.story}: {sorted(told)}")
        fields = {**asked.reply.fields, "etag": told.get("etag", "")}
        await self._judge.judge(replace(asked, reply=Reply(told["status"], fields), is_head=True))

    async def _get_link(self, wish: Wish) -> None:
        """Ask for a sealed URL."""
        asked = await self._ask(replace(wish, is_head=False), API)
        answer = json.loads(asked.reply.body or b"{}") if asked.reply.status else {}
        self._findings.count(f"link {asked.reply.status} {answer.get('code')}")
        if answer.get("code") != 0:
            return
        parts = urlsplit(answer["data"]["url"])
        ends = datetime.fromisoformat(answer["data"]["expires"]).timestamp()
        link = Link(asked, f"{parts.path}{parts.query and '?' + parts.query}", ends)
        self._links.append(link)
        await self._follow(link)

    async def _follow(self, link: Link) -> None:
        """Open a sealed URL, whoever it was given to."""
        replica, now = self._random.randrange(REPLICAS), time.time()
        accept = self._random.choice(ACCEPTED)
        fields = {"Accept": accept} if accept else {}
        reply, window = await ask(self._stage.http, "GET", self._stage.door(replica) + link.path, fields)
        story = f"sealed URL of ({link.asked.story}) at replica {replica}"
        opened = replace(
            link.asked, reply=reply, window=Window(link.asked.window.begin, window.end), story=story, is_head=False
        )
        await self._judge.judge_opened(opened, link.ends, now)

    async def _ask(self, wish: Wish, route: str) -> Asked:
        replica, users = self._random.randrange(REPLICAS), self._stage.site.users
        uri, method = uri_of(wish.target, users), "HEAD" if wish.is_head else "GET"
        fields = dict(wish.fields)
        if wish.bearer != PUBLIC:
            fields["Authorization"] = f"Bearer {users[wish.bearer].token if wish.bearer in users else GARBAGE}"
        elif wish.session is not None:
            fields["Cookie"] = f"{COOKIE}={wish.session.cookie}"
        where = self._stage.door(replica) + thumb(uri, route) + wish.size
        reply, window = await ask(self._stage.http, method, where, fields)
        has_cookie = wish.session is not None
        is_over = wish.session is not None and wish.session.is_over(replica, window)
        etags = frozenset(wish.fields.get("If-None-Match", "").split(", "))
        story, people = f"{wish.story}, replica {replica}", self._people(wish, replica, window)
        return Asked(uri, wish.target, people, story, reply, window, etags, wish.is_head, has_cookie, is_over)

    def _people(self, wish: Wish, replica: int, window: Window) -> frozenset[str]:
        if wish.bearer == GARBAGE:
            return frozenset()
        if wish.session is not None:
            return wish.session.people(replica, window)
        return frozenset({wish.bearer})
