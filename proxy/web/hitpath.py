"""The hit path: a request that reads byte for byte like one just answered is answered again without being parsed.

Everything that an answer depends on is in the bytes of the request, so that equal bytes may have equal answers. What can
change meanwhile is looked at on every hit: the memory tier must still hold the very grant and picture that were shown,
neither the grant nor the belief in the token may have ended, and no renewal may be due. Then the finished head and body
are written in one go; head fields that count seconds are made anew once a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server
from multidict import CIMultiDict

from proxy.metrics import Metrics
from proxy.model import Entry, Grant, Picture
from proxy.policy.headers import HIT_IN_MEMORY, cache_fields
from proxy.upstream.clock import Clock

MAX_FINISHED = 20_000
"""How many requests are known by their bytes; each costs its head twice, the picture's bytes are the memory tier's."""
MAX_RAW_BYTES = 4096

_COUNTED = ("Date", "Cache-Control", "Cache-Status")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an answer rests on."""

    grant_key: str
    grant: Grant
    picture_key: str
    picture: Picture | None
    """None for 304."""
    until: float
    """Unix time in seconds on Cloudreve's clock, up to which nothing but the memory tier need be asked."""
    is_public: bool


EVIDENCE = web.RequestKey("evidence", Evidence)


@dataclass(slots=True)
class _Finished:
    evidence: Evidence
    fixed: bytes
    body: bytes
    outcome: str
    second: int = 0
    head: bytes = b""


class HitPath:
    """Knows finished answers by the bytes of their requests."""

    def __init__(self, lookup: Callable[[str], Entry | None], clock: Clock, metrics: Metrics) -> None:
        self._lookup = lookup
        self._clock = clock
        self._metrics = metrics
        self._finished: dict[bytes, _Finished] = {}

    def answer(self, raw: bytes) -> tuple[bytes, bytes] | None:
        """Give head and body for the bytes of a request, or None when it has to go the long way."""
        finished = self._finished.get(raw)
        if finished is None:
            return None
        evidence, now = finished.evidence, self._clock.now()
        if now >= evidence.until or not self._stands(evidence):
            del self._finished[raw]
            return None
        if int(now) != finished.second:
            finished.second, finished.head = int(now), _head(finished, now)
        self._metrics.hit(finished.outcome, len(finished.body))
        return finished.head, finished.body

    async def offer(self, request: web.Request, response: web.StreamResponse) -> None:
        """Remember an answer that is about to leave, if the next equal request may have it too."""
        evidence, raw = request.get(EVIDENCE), getattr(request.protocol, "raw", None)
        if evidence is None or raw is None or not _is_repeatable(request, response, raw):
            return
        if len(self._finished) >= MAX_FINISHED:
            del self._finished[next(iter(self._finished))]
        body = evidence.picture.body if evidence.picture is not None else b""
        outcome = "not_modified" if evidence.picture is None else "hit"
        self._finished[raw] = _Finished(evidence, _fixed(response), body, outcome)

    def _stands(self, evidence: Evidence) -> bool:
        if self._lookup(evidence.grant_key) is not evidence.grant:
            return False
        return evidence.picture is None or self._lookup(evidence.picture_key) is evidence.picture


class HitProtocol(RequestHandler):
    """aiohttp's protocol, with the hit path in front of its parser."""

    __slots__ = ("_hits", "_is_clean", "raw")

    def __init__(self, hits: HitPath, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hits = hits
        self._is_clean = True
        self.raw: bytes | None = None
        """The bytes of the one request that is being answered; None where that is not certain."""

    def data_received(self, data: bytes) -> None:
        """Answer at once, or hand over to aiohttp.

        Only between requests, and only as long as every piece that came was exactly one request without a body: the
        parser then holds nothing back, and bytes and request belong together beyond doubt.
        """
        waiter = self._waiter
        is_idle = self._is_clean and waiter is not None and not waiter.done() and not self._paused
        if is_idle:
            answer = self._hits.answer(data)
            if answer is not None and self.transport is not None:
                self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
                self.transport.writelines(answer)
                return
        self._is_clean = self._is_clean and _is_one_head(data) and (is_idle or self._request_count == 0)
        self.raw = data if self._is_clean and len(data) <= MAX_RAW_BYTES else None
        super().data_received(data)


class HitRunner(web.AppRunner):
    """Runs an application with the hit path in front."""

    __slots__ = ("_hits",)

    def __init__(self, app: web.Application, hits: HitPath, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._hits = hits

    async def _make_server(self) -> Server:
        server = await super()._make_server()
        return _HitServer(server, self._hits)


class _HitServer(Server):
    def __init__(self, server: Server, hits: HitPath) -> None:
        super().__init__(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=server._loop,
            **server._kwargs,
        )
        self._hits = hits

    def __call__(self) -> RequestHandler:
        return HitProtocol(self._hits, self, loop=self._loop, **self._kwargs)


def _is_one_head(data: bytes) -> bool:
    """Tell whether these bytes are one GET or HEAD without a body, from its first byte to its last."""
    if not data.startswith((b"GET /", b"HEAD /")) or data.find(b"\r\n\r\n") != len(data) - 4:
        return False
    folded = data.lower()
    return b"\ncontent-length" not in folded and b"\ntransfer-encoding" not in folded and b"\nupgrade" not in folded


def _is_repeatable(request: web.Request, response: web.StreamResponse, raw: bytes) -> bool:
    """Tell whether nothing about this answer was for this once only."""
    target = raw.split(b" ", 2)[1]
    return (
        request.method == "GET"
        and request.version == (1, 1)
        and request.keep_alive
        and target == request.raw_path.encode("utf-8", "surrogateescape")
        and response.status in (200, 304)
        and "Set-Cookie" not in response.headers
        and not response.cookies
    )


def _fixed(response: web.StreamResponse) -> bytes:
    fields = CIMultiDict(response.headers)
    for name in _COUNTED:
        fields.popall(name, None)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{lines}".encode("utf-8", "surrogateescape")


def _head(finished: _Finished, now: float) -> bytes:
    evidence = finished.evidence
    fields = cache_fields(evidence.is_public, evidence.grant.fresh_until - now, HIT_IN_MEMORY)
    lines = "".join(f"{name}: {value}\r\n" for name, value in (*fields, ("Date", formatdate(usegmt=True))))
    return finished.fixed + lines.encode() + b"\r\n"
