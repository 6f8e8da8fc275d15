"""The hit path: a request that reads byte for byte like one just answered is answered without being parsed.

Everything that an answer depends on is in the bytes of the request, so that equal bytes may have equal answers. What
can change meanwhile is looked at on every hit: the memory tier must still hold the very grant and picture that were
shown, neither the grant nor the belief in the token may have ended, and no renewal may be due. Then the finished head
and body are written in one go; head fields that count seconds are made anew once a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from proxy.answer import Answer
from proxy.download import Download
from proxy.metrics import Metrics
from proxy.model import Entry, Picture, Source
from proxy.policy.freshness import renew_at
from proxy.policy.headers import picture_fields
from proxy.policy.keys import picture_key
from proxy.upstream.clock import Clock
from proxy.web.connection import Connection

MAX_FINISHED = 20_000
"""How many requests are known by their bytes; each costs its head twice, the picture's bytes are the memory tier's."""
MAX_RAW_BYTES = 4096

_log = structlog.get_logger("proxy.web")
_COUNTED = ("Date", "Cache-Control", "Cache-Status")


EVIDENCE = web.RequestKey("evidence", Answer)
"""The answer that a response was made from, where the response is nothing but that."""


@dataclass(slots=True)
class _Finished:
    answer: Answer
    picture: Picture | None
    until: float
    fixed: bytes
    route: str
    status: int
    outcome: str
    second: int = 0
    head: bytes = b""


class HitPath:
    """Knows finished answers by the bytes of their requests."""

    def __init__(
        self,
        lookup: Callable[[str], Entry | None],
        clock: Clock,
        metrics: Metrics,
        renew_s: float,
        is_narrated: bool,
    ) -> None:
        self._lookup = lookup
        self._renew_s = renew_s
        self._is_narrated = is_narrated
        self._clock = clock
        self._metrics = metrics
        self._finished: dict[bytes, _Finished] = {}

    def answer(self, raw: bytes) -> tuple[bytes, bytes] | None:
        """Give head and body for the bytes of a request, or None when it has to go the long way."""
        finished = self._finished.get(raw)
        if finished is None:
            return None
        now = self._clock.now()
        if now >= finished.until or not self._stands(finished):
            del self._finished[raw]
            return None
        if int(now) != finished.second:
            finished.second, finished.head = int(now), _head(finished, now)
        body = finished.picture.body if finished.picture is not None else b""
        self._metrics.hit(finished.outcome, len(body))
        if self._is_narrated:
            _log.info("request", method="GET", route=finished.route, status=finished.status, outcome=finished.outcome)
        return finished.head, body

    def forget(self) -> None:
        """Forget all: somebody has signed out, and the bytes of their requests are worth nothing any more."""
        self._finished.clear()

    async def offer(self, request: web.Request, response: web.StreamResponse) -> None:
        """Remember an answer that is about to leave, if the next equal request may have it too."""
        answer, raw = request.get(EVIDENCE), getattr(request.protocol, "raw", None)
        if answer is None or raw is None or not _is_repeatable(request, response, raw):
            return
        picture = answer.shown.body if answer.shown is not None else None
        if isinstance(picture, Download) or not _is_at_hand(answer):
            return
        if len(self._finished) >= MAX_FINISHED:
            del self._finished[next(iter(self._finished))]
        until = min(answer.found.sure_until, renew_at(answer.found.grant, self._renew_s))
        outcome = "hit" if picture is not None else "not_modified"
        route = str(getattr(request.match_info.route.resource, "canonical", ""))
        self._finished[raw] = _Finished(answer, picture, until, _fixed(response), route, response.status, outcome)

    def _stands(self, finished: _Finished) -> bool:
        """Tell whether the memory tier still holds the very objects that were shown; asking keeps them from ageing."""
        key, picture = finished.answer.found.key, finished.picture
        if key and self._lookup(key) is not finished.answer.found.grant:
            return False
        return picture is None or self._lookup(picture_key(picture.id)) is picture


class HitProtocol(Connection):
    """aiohttp's protocol, with the hit path in front of its parser."""

    __slots__ = ("_hits", "_is_clean", "raw")

    def __init__(self, hits: HitPath, server: Server, **options: Any) -> None:  # noqa: ANN401 - aiohttp's, passed on
        super().__init__(server, **options)
        self._hits = hits
        self._is_clean = True
        self.raw: bytes | None = None
        """The bytes of the one request that is being answered; None where that is not certain."""

    def data_received(self, data: bytes) -> None:
        """Answer at once, or hand over to aiohttp.

        At once only between requests, and only as long as every piece that came was exactly one request without a body:
        the parser then holds nothing back. A piece that comes while another request is being answered leaves both
        without their bytes, so that no answer is ever remembered for the request beside its own.
        """
        waiter = self._waiter
        is_idle = waiter is not None and not waiter.done()
        if is_idle and self._is_clean and not self._paused:
            answer = self._hits.answer(data)
            if answer is not None and self.transport is not None:
                self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
                self.transport.writelines(answer)
                return
        self._is_clean = self._is_clean and _is_one_head(data)
        is_alone = is_idle or self._request_count == 0
        self.raw = data if self._is_clean and is_alone and len(data) <= MAX_RAW_BYTES else None
        super().data_received(data)


class HitRunner(web.AppRunner):
    """Runs an application with the hit path in front."""

    __slots__ = ("_hits",)

    def __init__(self, app: web.Application, hits: HitPath, **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(app, **options)
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
            **server._kwargs,  # noqa: SLF001 - aiohttp offers no other way to its own settings
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


def _is_at_hand(answer: Answer) -> bool:
    """Tell whether everything came from memory, or with the request."""
    handling = answer.handling
    return handling.grant in (Source.MEMORY, Source.SEALED) and handling.picture in (Source.MEMORY, None)


def _fixed(response: web.StreamResponse) -> bytes:
    """Give the part of the head that stays as it is."""
    fields = [(name, value) for name, value in response.headers.items() if name not in _COUNTED]
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {response.status} {response.reason}\r\n{lines}".encode("utf-8", "surrogateescape")


def _head(finished: _Finished, now: float) -> bytes:
    """Give the head for this second."""
    answer = finished.answer
    fields = dict(picture_fields(answer.identity, None, answer.found.grant.fresh_until - now, answer.handling))
    fields["Date"] = formatdate(usegmt=True)
    return finished.fixed + "".join(f"{name}: {fields[name]}\r\n" for name in _COUNTED).encode() + b"\r\n"
