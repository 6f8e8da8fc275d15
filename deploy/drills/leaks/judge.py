"""Holds each answer against what Cloudreve grants, or granted no longer ago than a grant may count."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from deploy.drills.leaks.findings import Findings
from deploy.drills.leaks.pictures import NotWhole, number_of
from deploy.drills.leaks.site import BROKEN
from deploy.drills.leaks.truth import PUBLIC, Target, Truth, Window
from deploy.drills.leaks.wire import Reply

GRANT_S = 4.0
"""`grants.max_ttl_s` of the gateways."""
MARGIN_S = 1.0
"""`grants.margin_s` of the gateways: so much longer a sealed URL that was just given out can be opened."""
SLACK_S = 0.5
REFUSAL_S = 6.0
"""So long a refusal may be repeated, or a thumbnail be in the making, after Cloudreve has changed its mind."""
See: TypeAlias = Callable[[str, str], Awaitable[int]]
"""Asks Cloudreve itself for somebody, by name, and a File URI."""
_MAX_AGE = re.compile(r"max-age=(\d+)")
SHOWING = frozenset({200, 206, 304})
_LASTING = frozenset({401, 403, 404})
_PASSING = frozenset({0, 503, 504})


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its answer."""

    uri: str
    target: Target
    people: frozenset[str]
    """For whom the asker may be taken."""
    story: str
    """How it was asked, for people."""
    reply: Reply
    window: Window
    etags: frozenset[str] = frozenset()
    is_head: bool = False
    has_cookie: bool = False
    is_over: bool = False
    """Whether it was asked with the cookie of a session that has ended."""


class Judge:
    """Knows which version each validator stands for."""

    def __init__(self, truth: Truth, see: See, findings: Findings) -> None:
        self._truth = truth
        self._see = see
        self._findings = findings
        self.etags: dict[str, int] = {}

    async def judge(self, asked: Asked) -> None:
        """Judge the answer to a question for a picture."""
        reply = asked.reply
        how = " with a cookie" if asked.has_cookie else ""
        self._findings.count(f"{reply.status or 'cut'} for a picture{how}")
        if reply.status in SHOWING:
            version = self._version(asked)
            if version is not None:
                await self._check_granted(asked, version, self._past(asked.window))
                self._check_fields(asked, version)
        elif reply.status in _LASTING:
            await self._check_refused(asked)
        elif reply.status == 502 and await self._is_broken(asked):  # noqa: PLR2004 - bad gateway
            self._findings.count("a thumbnail that is broken at Cloudreve itself")
        elif reply.status not in _PASSING:
            self._findings.violate(f"status {reply.status}", f"{asked.story}: {reply.body[:300]!r}")

    async def judge_opened(self, asked: Asked, ends: float, now: float) -> None:
        """Judge what a sealed URL shows, which may be anything that was granted since it was made."""
        reply = asked.reply
        self._findings.count(f"{reply.status or 'cut'} for a sealed URL")
        if reply.status not in SHOWING:
            return
        version = self._version(asked)
        if version is not None:
            await self._check_granted(asked, version, self._past(asked.window))
        if now > ends + MARGIN_S + SLACK_S:
            self._findings.violate("a sealed URL opened after its end", f"{asked.story}, {now - ends:.2f} s late")

    async def check_model(self, asked: Asked, version: int) -> None:
        """Hold what Cloudreve itself has shown against what is believed of it."""
        self._findings.count("questions to Cloudreve itself")
        (who,) = asked.people
        if version == BROKEN:
            self._findings.count("a thumbnail that is broken at Cloudreve itself")
            return
        if version and version not in self._truth.shown(who, asked.target, asked.window):
            self._learn(who, asked, version)
        if not version and self._truth.surely_shown(who, asked.target, asked.window):
            self._findings.violate("the drill's rule is wrong: refused", asked.story)

    async def _is_broken(self, asked: Asked) -> bool:
        return BROKEN in [await self._see(who, asked.uri) for who in asked.people]

    def _version(self, asked: Asked) -> int | None:
        """Tell which version an answer shows or stands for; None where that cannot be told."""
        reply, etag = asked.reply, asked.reply.get("etag")
        if reply.status in (206, 304) or asked.is_head:
            if reply.status == 304 and etag not in asked.etags:  # noqa: PLR2004
                self._findings.violate("304 for a validator that was not sent", asked.story)
            return self.etags.get(etag)
        self._findings.count(reply.get("content-type"))
        try:
            version = number_of(reply.body)
        except NotWhole as error:
            self._findings.violate("half a picture", f"{asked.story}: {error}")
            return None
        if self.etags.setdefault(etag, version) != version:
            self._findings.violate("one validator for two pictures", asked.story)
        return version

    async def _check_granted(self, asked: Asked, version: int, window: Window) -> None:
        for who in asked.people:
            if version in self._truth.shown(who, asked.target, window):
                return
        for who in asked.people:
            if await self._see(who, asked.uri) == version:
                self._learn(who, asked, version)
                return
        elsewhere = self._truth.whereabouts(version, asked.window.begin)
        kind = "a picture for a session that is over" if asked.is_over else "a picture that is not granted"
        self._findings.violate(kind, f"{asked.story} gave {asked.reply.status} with what is {elsewhere}")

    def _learn(self, who: str, asked: Asked, version: int) -> None:
        """Take note of what Cloudreve shows beside the rule: another version of the same file, or it is wrong."""
        if self._truth.was_there(who, asked.target, version):
            self._findings.count("an old version at Cloudreve itself")
            self._truth.learn(who, asked.target, version, asked.window.begin)
        else:
            where = self._truth.whereabouts(version, asked.window.begin)
            self._findings.violate("the drill's rule is wrong", f"{asked.story}: {version}, which is {where}")

    async def _check_refused(self, asked: Asked) -> None:
        """Fail where somebody has been shut out who has been granted a version for some time."""
        if len(asked.people) != 1:
            return
        (who,) = asked.people
        window = Window(asked.window.begin - REFUSAL_S, asked.window.end)
        if self._truth.surely_shown(who, asked.target, window) and await self._see(who, asked.uri) > 0:
            self._findings.violate(f"{asked.reply.status} for what is granted", asked.story)

    def _check_fields(self, asked: Asked, version: int) -> None:
        """Fail where others could take the answer out of a cache, or anybody for too long."""
        caching = asked.reply.get("cache-control")
        is_public = "public" in caching.split(", ")
        self._findings.count("public" if is_public else "private")
        if not is_public and "private" not in caching.split(", "):
            self._findings.violate("neither public nor private", f"{asked.story}: {caching}")
        if is_public and asked.target.root == "my":
            self._findings.violate("public, where a File URI means something else to others", asked.story)
        if is_public and version not in self._truth.shown(PUBLIC, asked.target, self._past(asked.window)):
            self._findings.violate("public, and not granted to everybody", asked.story)
        age = _MAX_AGE.search(caching)
        if age and int(age[1]) > GRANT_S + SLACK_S:
            self._findings.violate("kept for longer than it is granted", f"{asked.story}: {caching}")

    def _past(self, window: Window) -> Window:
        return Window(window.begin - GRANT_S - MARGIN_S - SLACK_S, window.end)
