"""aiohttp's server with the hit path in front of its parser."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from proxy.fastpath.asked import Wire
from proxy.fastpath.entry import Finished
from proxy.fastpath.index import HitPath
from proxy.fastpath.key import Asked, Key
from proxy.http.aiohttp_private import Connection
from proxy.http.connection_limits import Crowd

_END = b"\r\n\r\n"
_SMALL_BYTES = 8192
_LOST = b"lost"
"""In place of what the parser holds back, once that is not known."""


class HitProtocol(Connection):
    """One connection. Answers by itself where it is certain that aiohttp has nothing to say before.

    That is between requests, and only as long as everything that came so far was requests without a body, each piece
    that arrived ending one at most: aiohttp's parser then holds nothing back but the head that `_held` says. A piece
    that comes while a request is being answered leaves that request without its bytes, so that no answer is ever
    remembered for another request than its own.

    While Redis is asked for a picture aiohttp knows nothing of the request. When more comes meanwhile, or the
    connection is to close, it is told (`_hand_over`), and goes on as if the request had just come.
    """

    __slots__ = ("_answered", "_awaited", "_held", "_hits", "_is_trusted", "_task", "asked")

    def __init__(self, hits: HitPath, server: Server, **options: Any) -> None:  # noqa: ANN401 - aiohttp's, passed on
        super().__init__(server, **options)
        self._hits = hits
        self._held = b""
        self._answered = 0
        """How many requests aiohttp has done with."""
        self._awaited: bytes | None = None
        """The request for whose picture Redis is being asked."""
        self._task: asyncio.Task[None] | None = None
        """Who answers it then."""
        self._is_trusted = False
        self.asked: Asked | None = None
        """The one request that is being answered; None where that is not certain."""

    @property
    def idle_since(self) -> float:
        """Tell since when nothing has been done here; see `Connection`."""
        return super().idle_since if self._awaited is None else math.inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn who is at the other end."""
        super().connection_made(transport)
        peer = self.peername
        self._is_trusted = self._hits.trusts(str(peer[0]) if isinstance(peer, list | tuple) else peer or "")

    def data_received(self, data: bytes) -> None:
        """Answer at once, or as soon as Redis has replied, or hand over to aiohttp."""
        if self._awaited is not None:
            self._hand_over(self._awaited)
        waits = self._waiter is not None and not self._waiter.done()
        is_between = waits or (self._answered == self._request_count and not self._close)
        if is_between and not self._held and not self._paused and self.transport is not None:
            key = self._hits.key(data, is_trusted=self._is_trusted)
            if key is not None and self._answer(data, key, may_write=waits):
                return
        self._parse(data)

    def _answer(self, data: bytes, key: Key, *, may_write: bool) -> bool:
        """Answer a request, now or when Redis has replied; tell whether that is done."""
        answer = self._hits.answer(key) if may_write else None
        if answer is not None and self.transport is not None:
            self._touch()
            write(self.transport, answer)
            return True
        known = self._hits.knows(key)
        if known is None:
            return False
        self._touch()
        self._awaited = data
        self._task = self._loop.create_task(self._answer_later(data, known))
        return True

    def close(self) -> None:
        """Close now, or behind the request under way."""
        if self._awaited is not None:
            self._hand_over(self._awaited)
        super().close()

    async def _answer_later(self, raw: bytes, known: Finished) -> None:
        recalled = None
        try:
            recalled = await self._hits.recall(known)
        finally:
            if self._awaited is raw:
                if recalled is None or self.transport is None or self.transport.is_closing():
                    self._hand_over(raw)
                else:
                    self._awaited = self._task = None
                    self._touch()
                    write(self.transport, self._hits.give(recalled))

    def _hand_over(self, raw: bytes) -> None:
        """Have aiohttp answer what Redis is being asked for."""
        self._awaited = self._task = None
        self._parse(raw)

    def _touch(self) -> None:
        """Take note that the connection is in use."""
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    async def _handle_request(self, *work: Any) -> tuple[web.StreamResponse, bool]:  # noqa: ANN401 - aiohttp's
        """Answer one request, to the last byte of the answer."""
        try:
            return await super()._handle_request(*work)
        finally:
            self._answered += 1

    def _parse(self, data: bytes) -> None:
        """Hand over, and keep account of what is asked and what is held back."""
        before = self._request_count
        super().data_received(data)
        begun = self._request_count - before
        if self._held is _LOST or (not data and not begun):  # aiohttp itself calls with no data, to go on
            self.asked = None
            return
        whole = self._held + data
        is_head = begun == 1 and _is_one_head(whole)
        is_alone = self._answered == before
        is_short = len(whole) <= self._hits.max_head_bytes
        key = self._hits.key(whole, is_trusted=self._is_trusted) if is_head and is_alone else None
        self.asked = self._hits.asked(key) if key is not None else None
        if is_head:
            self._held = b""
        else:
            self._held = whole if not begun and is_short and _END not in whole else _LOST


def write(transport: asyncio.WriteTransport, wire: Wire) -> None:
    """Hand an answer over in one go: a small body is copied behind its head, since two buffers cost more than that."""
    head, body = wire
    if len(body) <= _SMALL_BYTES:
        transport.write(head + body)
    else:
        transport.writelines(wire)


class HitRunner(web.AppRunner):
    """Runs an application with the hit path in front."""

    __slots__ = ("_crowd", "_hits")

    def __init__(self, app: web.Application, hits: HitPath, crowd: Crowd, **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(app, **options)
        self._hits = hits
        self._crowd = crowd

    async def _make_server(self) -> Server:
        server = await super()._make_server()
        return _HitServer(server, self._hits, self._crowd)


class _HitServer(Server):
    def __init__(self, server: Server, hits: HitPath, crowd: Crowd) -> None:
        self._hits = hits
        self._crowd = crowd
        super().__init__(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            **server._kwargs,  # noqa: SLF001 - aiohttp offers no other way to its own settings
        )

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Let a visitor in."""
        super().connection_made(handler, transport)
        if isinstance(handler, Connection):
            self._crowd.enter(handler)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """See a visitor out."""
        super().connection_lost(handler, exc)
        if isinstance(handler, Connection):
            self._crowd.leave(handler)

    def __call__(self) -> RequestHandler:
        return HitProtocol(self._hits, self, loop=self._loop, **self._kwargs)


def _is_one_head(data: bytes) -> bool:
    """Tell whether these bytes are one GET or HEAD without a body, from its first byte to its last."""
    if not data.startswith((b"GET /", b"HEAD /")) or data.find(_END) != len(data) - len(_END):
        return False
    folded = data.lower()
    return b"\ncontent-length" not in folded and b"\ntransfer-encoding" not in folded and b"\nupgrade" not in folded
