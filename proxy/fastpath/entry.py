"""An answer that has been given, and can be given again as long as nothing that it rests on changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import NamedTuple, TypeAlias
from weakref import ref

from aiohttp import web

from proxy.cache.tier import SharedBytes, StoredBytes
from proxy.domain.freshness import renew_at
from proxy.domain.grant import Grant
from proxy.domain.picture import Picture, PictureHead
from proxy.domain.response_fields import Handling, cache_status
from proxy.domain.source import Source
from proxy.fastpath.key import Key
from proxy.grants.validity import Decision
from proxy.http.outcome import outcome_of
from proxy.http.sealed_urls import ROUTE as SEALED_ROUTE
from proxy.observe.metrics import Metrics, Tally
from proxy.observe.prerendered import PrerenderedLine
from proxy.pictures.answer import Answer

HeadAndBody: TypeAlias = tuple[bytes, bytes | memoryview]
"""Head and body."""

KINDS = 64
"""So many kinds of answers and of lines there are about."""
_OBJECT_BYTES = 1500
"""What one takes beside its texts: itself, the grant that no tier may hold any more, its place in a table. Measured on
CPython 3.11 (`tests/fastpath/test_index.py` measures again)."""
NO_PICTURE = Picture("", "", "", b"")
"""Stands where none is shown."""
_MAX_AGE = re.compile(r"(?<=max-age=)\d+")
_TTL = re.compile(r"(?<=ttl=)\d+")
TIERS = (Source.MEMORY, Source.DISK, Source.REDIS)
_NEAR = frozenset({*TIERS, Source.SEALED})


class Provenance(NamedTuple):
    """The fields and the log line that say where an answer came from, and the counter for it."""

    counting: tuple[bytes, ...]
    """The fields that count seconds, cut where a number of seconds stands."""
    tally: Tally


class Provenances(NamedTuple):
    """The provenance for each tier that the picture may come from."""

    near: Provenance
    """Memory, or where none is shown."""
    disk: Provenance
    redis: Provenance


@dataclass(slots=True)
class FinishedAnswer:
    """One answer. The bytes of its picture are the tiers'."""

    key: Key
    """The request."""
    decision: Decision[Grant]
    """The permission that the answer rests on."""
    grant_key: str
    """Where the tiers keep the grant; empty where the request itself brings it, sealed."""
    shown: PictureHead | None
    """None where the visitor has the picture already (304)."""
    picture_key: str
    """Where the tiers keep the bytes that were shown; empty where none were."""
    deletions: int
    """How many deletions the tiers had counted when this was made."""
    fixed: bytes
    """The head without the fields that tell seconds."""
    provenances: Provenances
    tally: Tally
    """Where it is counted when it is given at once."""
    log_line: PrerenderedLine | None
    """Its log line."""
    picture: Callable[[], Picture | None]
    """A weak reference to the picture as the memory tier held it, or to `NO_PICTURE`."""
    tail: bytes = b""
    """The body where it is no picture."""
    has_body: bool = True
    """Whether the bytes of the picture follow the head, as they do not for HEAD."""
    stored: StoredBytes | None = None
    """The picture on disk, where it can be read without waiting."""
    shared: SharedBytes | None = None
    """The picture in Redis, where it has been read before."""
    stands_until: float = -inf
    """Until this time on Cloudreve's clock `is_valid` is not asked again, unless memory's grants have changed."""
    stands_version: int = -1
    """That version."""
    head: bytes = b""
    sure_from: float = inf
    sure_until: float = -inf
    """Between these times, on our clock, the head is true."""
    version: int = -1
    """Of the memory tier, when it was last seen to hold what this rests on."""

    @property
    def size_bytes(self) -> int:
        """Estimate what it takes."""
        return (
            _OBJECT_BYTES + self.key.size_bytes + 2 * (len(self.fixed) + len(self.tail)) + len(self.decision.grant.url)
        )

    def show(self, picture: Picture) -> bool:
        """Take bytes from a tier, if they are those that were shown."""
        if picture.head != self.shown:
            return False
        self.picture = ref(picture)
        return True

    def provenance(self, source: Source) -> Provenance:
        """Give the provenance for this tier."""
        return {Source.DISK: self.provenances.disk, Source.REDIS: self.provenances.redis}.get(
            source, self.provenances.near
        )

    def head_for(self, now: float, date: bytes, provenance: Provenance) -> bytes:
        """Make the head for this moment; `date` is its last line (`DateField`), and the empty one."""
        remaining = b"%d" % int(self.decision.grant.fresh_until - now)
        return b"".join((self.fixed, remaining.join(provenance.counting), date, self.tail))


class Recalled(NamedTuple):
    """The picture for a known request."""

    known: FinishedAnswer
    picture: Picture
    provenance: Provenance
    """Where it came from."""
    seconds: float
    """How long that took."""


def found_in(tier: Source, handling: Handling) -> Handling:
    """Tell how the same question will be handled when a tier has the picture, and memory the grant."""
    grant = handling.grant if handling.grant is Source.SEALED else Source.MEMORY
    return replace(handling, grant=grant, picture=tier if handling.picture is not None else None)


def caching(response: web.StreamResponse, handling: Handling) -> tuple[str, ...]:
    """Give a response's `Cache-Control`, cut where its number of seconds stands, if that grows less."""
    given = response.headers.get("Cache-Control", "")
    return (given,) if isfinite(handling.browser_s) else tuple(_MAX_AGE.split(given))


def valid_until(answer: Answer, renew_s: float) -> float:
    """Tell until when it may be given: until the grant is due, or less is left of it than a browser may keep it for."""
    bound_s, grant = answer.handling.browser_s, answer.found.grant
    bounded_until = grant.fresh_until - bound_s if isfinite(bound_s) else inf
    return min(answer.found.decision.valid_until, renew_at(grant, renew_s), bounded_until)


def counting(caching: tuple[str, ...], handling: Handling) -> tuple[bytes, ...]:
    """Make the fields that count seconds, cut where a number of seconds stands."""
    *before, last = caching
    status = _TTL.split(f"\r\nCache-Status: {cache_status(handling, 0)}\r\n")
    texts = [*before, last + status[0], *status[1:]]
    return tuple(text.encode() for text in ["Cache-Control: " + texts[0], *texts[1:]])


def provenance(metrics: Metrics, outcome: str, caching: tuple[str, ...], handling: Handling) -> Provenance:
    """Make the provenance of an answer that is handled so."""
    return Provenance(counting(caching, handling), metrics.tally(outcome, handling.grant, handling.picture))


def fixed(response: web.StreamResponse) -> bytes:
    """Make the part of a response's head that tells no seconds."""
    told = ("Date", "Cache-Control", "Cache-Status")
    lines = "".join(f"{name}: {value}\r\n" for name, value in response.headers.items() if name not in told)
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{lines}".encode("utf-8", "surrogateescape")


class Given(NamedTuple):
    """An answer that the next equal request may have too, and how it was given."""

    answer: Answer
    request: web.Request
    response: web.StreamResponse
    outcome: str


def given_by(request: web.Request, response: web.StreamResponse, key: Key) -> Given | None:
    """Tell how an answer was given; None where something about it was for this once only."""
    outcome = outcome_of(response)
    if outcome is None or outcome.answer is None or not is_at_hand(outcome.answer):
        return None
    return Given(outcome.answer, request, response, outcome.name) if is_repeatable(request, response, key) else None


def is_repeatable(request: web.Request, response: web.StreamResponse, key: Key) -> bool:
    """Tell whether nothing about this answer was for this once only."""
    return (
        key.line.startswith(f"{request.method} ".encode())
        and request.version == (1, 1)
        and response.keep_alive is not False
        and "Expect" not in request.headers
        and key.target == request.raw_path.encode("utf-8", "surrogateescape")
        and key.is_sealed is (route_of(request) == SEALED_ROUTE)
        and response.status in (200, 304)
        and "Set-Cookie" not in response.headers
        and not response.cookies
    )


def tail_of(answer: Answer, request: web.Request, response: web.StreamResponse) -> bytes:
    """Give the body of an answer that shows no picture."""
    body = response.body if answer.shown is None and isinstance(response, web.Response) else None
    return body if isinstance(body, bytes) and request.method != "HEAD" else b""


def route_of(request: web.Request) -> str:
    """Name the route of a request."""
    return str(getattr(request.match_info.route.resource, "canonical", ""))


def is_at_hand(answer: Answer) -> bool:
    """Tell whether all of it came from a tier, or with the request, and is complete."""
    grant, picture = answer.handling.grant, answer.handling.picture
    is_complete = answer.shown is None or isinstance(answer.shown.body, Picture)
    return is_complete and not answer.handling.is_interim and grant in _NEAR and (picture is None or picture in _NEAR)
