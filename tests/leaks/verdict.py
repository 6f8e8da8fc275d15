"""Whether an answer shows anything that Cloudreve has not granted to whoever gets it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Any

from proxy.standin.gourl import Address
from tests.leaks.cards import MAGIC, Cards
from tests.leaks.scene import HERE
from tests.leaks.wire import Reply
from tests.leaks.witness import MARGIN_S, SLACK_S, Leave, Who, Witness

STATUSES = frozenset({0, 200, 304, 400, 401, 402, 403, 404, 410, 502, 503, 504})
"""How a question for a picture may end; 0 is a connection that broke."""
_MAX_AGE = re.compile(r"max-age=(\d+)")


@dataclass(frozen=True, slots=True)
class Given:
    """A sealed URL, and what it may open."""

    path: str
    leaves: tuple[Leave, ...]
    until: float
    is_public: bool
    """Whether whoever was given it was anybody."""


class Court:
    """Judges answers by what Cloudreve was seen to grant."""

    def __init__(self, witness: Witness, cards: Cards, seen: Counter[str]) -> None:
        self._witness = witness
        self._cards = cards
        self._seen = seen
        self.shown: dict[str, bytes] = {}
        """The bytes that were shown under a validator."""

    def judge(self, reply: Reply, method: str, covers: Sequence[Leave], now: float) -> None:
        """Fail where this is a picture, and none of the leaves allows just this one to whoever gets it."""
        self._seen[f"{method} {reply.status}"] += 1
        if reply.status not in (200, 304):
            check_no_picture(reply)
            return
        assert covers, "a picture for somebody to whom Cloudreve has not granted any"
        body = reply.body if (reply.status, method) == (200, "GET") else self.shown.get(reply.get("etag"), b"")
        assert (reply.status, method) == (200, "GET") or not reply.body
        self._seen[reply.get("content-type")] += reply.status == HTTPStatus.OK
        if body:
            card = self._cards.read(body)
            fitting = [leave for leave in covers if leave.file is card.file and card.until >= leave.since - SLACK_S]
            assert fitting, "another picture than Cloudreve has granted"
            covers = fitting
            assert self.shown.setdefault(reply.get("etag"), body) == body, "one validator for two pictures"
        self._check_fields(reply, covers, now)

    def told(self, reply: Reply) -> Reply:
        """Read what is said of one picture as an answer with that picture, of which the bytes do not come."""
        assert MAGIC not in reply.body
        [told] = json.loads(reply.body)["pictures"]
        self._seen[f"info {told['status']}"] += 1
        if told["status"] == HTTPStatus.OK:
            return Reply(200, (*((k, v) for k, v in reply.fields if k != "etag"), ("etag", told["etag"])))
        assert set(told) <= {"uri", "status", "problem", "retry_after_s"}, "more than a no tells of a picture"
        assert reply.get("cache-control") == "no-store"
        kept = (("content-type", "application/problem+json"), ("cache-control", "no-store"))
        return Reply(told["status"], kept, json.dumps(told).encode())

    def judge_link(self, reply: Reply, covers: Sequence[Leave], *, is_public: bool) -> Given | None:
        """Read the answer of the drop-in API; fail where it opens what is not granted, or for longer."""
        assert MAGIC not in reply.body
        answer: dict[str, Any] = json.loads(reply.body) if reply.status else {"code": None}
        self._seen[f"link {answer['code']}"] += 1
        if answer["code"] != 0:
            assert answer.get("data") is None
            return None
        until = datetime.fromisoformat(answer["data"]["expires"]).timestamp()
        fitting = tuple(leave for leave in covers if abs(leave.until - until) <= SLACK_S)
        assert fitting, "a sealed URL for somebody to whom Cloudreve has not granted any, or for longer"
        path = answer["data"]["url"].removeprefix(HERE)
        assert path.startswith("/thumb/s/")
        return Given(path, fitting, until, is_public)

    def judge_opened(self, reply: Reply, method: str, given: Given, now: float) -> None:
        """Fail where a sealed URL opens anything but its own picture, or after its time."""
        is_over = now > given.until + MARGIN_S + SLACK_S
        self._seen[f"sealed {reply.status}"] += 1
        self.judge(reply, method, () if is_over else given.leaves, now)
        assert given.is_public or not is_for_all(reply), "shared caches would keep what is somebody's own"

    def covers(self, whose: Collection[Who], address: Address | None, now: float, begun: float) -> list[Leave]:
        """List the leaves that still count, or have been given for this very request.

        One that was given without a password counts for whoever brings one.
        """
        addresses = (address, address and replace(address, password=""))
        return [
            leave
            for leave in self._witness.leaves
            if leave.who in whose and leave.address in addresses and leave.holds(now, begun)
        ]

    def _check_fields(self, reply: Reply, covers: Sequence[Leave], now: float) -> None:
        """Fail where others could take it out of a cache, or anybody after its time."""
        for_all, caching = is_for_all(reply), reply.get("cache-control")
        self._seen["public" if for_all else "private"] += 1
        self._seen["hit" if "; hit;" in reply.get("cache-status") else "miss"] += 1
        assert is_public(reply) or "private" in caching.split(", ")
        assert for_all or not is_public(reply), "shared caches would keep what is somebody's own"
        assert for_all or not reply.all("access-control-allow-origin")
        assert for_all or reply.get("cross-origin-resource-policy") == "same-site"
        assert not (for_all and reply.all("set-cookie")), "a session for whoever comes next"
        if "immutable" not in caching:
            varied = {name.strip().lower() for name in reply.get("vary").split(",")}
            assert varied >= {"authorization", "x-cr-purchase-ticket"}
            assert is_public(reply) or "cookie" in varied
        if age := _MAX_AGE.search(caching):
            remaining_s = max(leave.until for leave in covers) - now
            assert int(age[1]) <= max(remaining_s, 0) + SLACK_S, "others may keep it for longer than it is granted"


def check_validator(reply: Reply, if_none_match: str) -> None:
    """Fail where somebody is told to have a picture already that they did not speak of."""
    assert reply.status != 304 or if_none_match == "*" or reply.get("etag") in if_none_match.split(", ")


def check_no_picture(reply: Reply) -> None:
    """Fail where an answer that is no picture shows one all the same, or may be kept."""
    assert reply.status in STATUSES, f"{reply.status}: {reply.body!r}"
    assert MAGIC not in reply.body
    if reply.status:
        assert reply.get("content-type") == "application/problem+json"
        assert reply.get("cache-control") == "no-store"
        assert not reply.all("etag")


def is_for_all(reply: Reply) -> bool:
    """Tell whether a picture is for everybody, by what it says to scripts of other sites."""
    return reply.status in (200, 304) and reply.get("access-control-allow-origin") == "*"


def is_public(reply: Reply) -> bool:
    """Tell whether shared caches may give an answer to everybody who asks for the same, by what it says itself."""
    return "public" in reply.get("cache-control").split(", ")
