"""aiohttp's server with the fast path in front of its parser."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

from proxy.fastpath.entry import FinishedAnswer, HeadAndBody
from proxy.fastpath.index import FastPath
from proxy.fastpath.key import SHORT_BYTES, PendingRequest
from proxy.http.aiohttp_private import Answered, options_of
from proxy.http.connection import Connection
from proxy.http.connection_limits import ConnectionLimits
from proxy.http.server import ConnectionServer, Runner

_SMALL_BYTES = 8192
_JOINING = asyncio.WriteTransport.writelines
"""Until Python 3.11 asyncio's own transports copy all buffers into one: a copy of the picture for each slow reader."""


class FastPathProtocol(Connection):
    """One connection. Answers by itself where it is certain that aiohttp has nothing to say before.

    That is between requests, when nothing is held back. aiohttp is given one request at a time, so that no answer is
    ever remembered for another request than its own.

    While Redis is asked for a picture aiohttp knows nothing of the request. When more comes meanwhile, or the
    connection is to close, it is told (`_hand_over`), and goes on as if the request had just come.
    """

    __slots__ = ("_awaited", "_hits", "_is_trusted", "_last", "_last_known", "_pending", "_task")

    def __init__(self, hits: FastPath, server: Server, **options: Any) -> None:  # noqa: ANN401 - aiohttp's, passed on
        super().__init__(server, **options)
        self._hits = hits
        self._awaited: bytes | None = None
        """The request for whose picture Redis is being asked."""
        self._task: asyncio.Task[None] | None = None
        """The task that answers it then."""
        self._is_trusted = False
        self._last = b""
        """The last request that was answered here: a client that repeats it is spared the reading."""
        self._last_known: FinishedAnswer | None = None
        self._pending: PendingRequest | None = None
        """The request that is being answered; None where its answer is not remembered."""

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
        """Answer at once where that is possible.

        This runs for each hit: it calls as little as it can, and leaves to `_receive` whatever is not plain.
        """
        waiter, transport = self.waiter, self.transport
        if (
            waiter is not None
            and not waiter.done()
            and transport is not None
            and self._awaited is None
            and not self._held
            and not self.is_writing_paused
        ):
            known = self._last_known if data == self._last else self._find(data)
            wire = self._hits.answer(known) if known is not None else None
            if wire is not None:
                self.idle_until = self.loop.time() + self.idle_timeout_s  # type: ignore[misc]  # a slot of aiohttp's
                head, body = wire
                if len(body) <= _SMALL_BYTES:
                    transport.write(head + body)
                else:
                    write_large(transport, wire)
                return
            if known is not None and self._ask_redis(data, known):
                return
            self._last = b""  # what was known may have been replaced
        self._receive(data)

    def _ask_redis(self, raw: bytes, known: FinishedAnswer) -> bool:
        """Have the picture for a request read from Redis, if it can be given as it is there."""
        if not self._hits.redis_hits.ask(known, raw, self._end_wait):
            return False
        self.touch()
        self._awaited = raw
        return True

    def _find(self, data: bytes) -> FinishedAnswer | None:
        known = self._hits.find(data, self._is_trusted)
        if known is not None and len(data) <= SHORT_BYTES:
            self._last, self._last_known = data, known
        return known

    def _receive(self, data: bytes) -> None:
        """Answer at once, or as soon as Redis has replied, or hand over to aiohttp."""
        if self._awaited is not None:
            self._hand_over(self._awaited)
        is_between = self.is_waiting or (self._is_between and not self.will_close and not self.is_deaf)
        if is_between and not self._held and not self.is_writing_paused and self.transport is not None:
            key = self._hits.key(data, is_trusted=self._is_trusted)
            known = self._hits.known(key) if key is not None else None
            if known is not None and self._answer(data, known, self.transport):
                return
        super().data_received(data)

    def _answer(self, data: bytes, known: FinishedAnswer, transport: asyncio.WriteTransport) -> bool:
        """Answer a request, now or when Redis has replied; tell whether that is done."""
        answer = self._hits.answer(known) if self.is_waiting else None
        if answer is not None:
            self.touch()
            write(transport, answer)
            return True
        if self._hits.known(known.key) is not known:
            return False
        if self._ask_redis(data, known):
            return True
        self.touch()
        self._awaited = data
        self._task = self.loop.create_task(self._answer_later(data, known))
        return True

    def close(self) -> None:
        """Close now, or behind the request under way."""
        if self._awaited is not None:
            self._hand_over(self._awaited)
        super().close()

    async def _answer_later(self, raw: bytes, known: FinishedAnswer) -> None:
        recalled = None
        try:
            recalled = await self._hits.recall(known)
        finally:
            self._end_wait(raw, self._hits.give if recalled is not None else None, recalled)

    def _end_wait(self, raw: bytes, wire_of: Callable[..., HeadAndBody | None] | None, *found: object) -> None:
        """Answer a request with the picture that was found, or have aiohttp answer it, if it is still waited for."""
        if self._awaited is not raw:
            return
        transport, wire = self.transport, None
        try:
            if wire_of is not None and transport is not None and not transport.is_closing():
                wire = wire_of(*found)
        finally:
            if transport is None or wire is None:
                self._hand_over(raw)
            else:
                self._awaited = self._task = None
                self.touch()
                write(transport, wire)

    def _hand_over(self, raw: bytes) -> None:
        """Have aiohttp answer what Redis is being asked for."""
        self._awaited = self._task = None
        super().data_received(raw)

    def _note(self, raw: bytes) -> None:
        """Take note of the request, for its answer to be remembered."""
        key = self._hits.key(raw, is_trusted=self._is_trusted)
        self._pending = self._hits.asked(key) if key is not None else None

    async def handle_request(self, *work: Any) -> Answered:  # noqa: ANN401 - aiohttp's
        """Answer a request, and offer the answer to those who ask the same."""
        request, pending = work[0], self._pending
        response, is_reset = await super().handle_request(*work)
        if pending is not None and not is_reset and isinstance(request, web.Request):
            self._hits.offer(pending, request, response)
        return response, is_reset


def write(transport: asyncio.WriteTransport, wire: HeadAndBody) -> None:
    """Hand an answer over in one go: a small body is copied behind its head, since two buffers cost more than that."""
    head, body = wire
    if len(body) <= _SMALL_BYTES:
        transport.write(head + body)
    else:
        write_large(transport, wire)


def write_large(transport: asyncio.WriteTransport, wire: HeadAndBody) -> None:
    """Hand over a body that is not copied."""
    if type(transport).writelines is _JOINING:
        transport.write(wire[0])
        transport.write(wire[1])
    else:
        transport.writelines(wire)


class FastPathRunner(Runner):
    """Runs an application with the fast path in front."""

    __slots__ = ("_connection_limits", "_hits")

    def __init__(
        self,
        app: web.Application,
        hits: FastPath,
        connection_limits: ConnectionLimits,
        **options: Any,  # noqa: ANN401 - aiohttp's
    ) -> None:
        super().__init__(app, **options)
        self._hits = hits
        self._connection_limits = connection_limits

    def served_by(self, server: Server) -> Server:
        """Have each connection made by `_FastPathServer`."""
        return _FastPathServer(server, self._hits, self._connection_limits)


class _FastPathServer(ConnectionServer):
    def __init__(self, server: Server, hits: FastPath, connection_limits: ConnectionLimits) -> None:
        super().__init__(server)
        self._hits = hits
        self._connection_limits = connection_limits

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Let a visitor in."""
        super().connection_made(handler, transport)
        if isinstance(handler, Connection):
            self._connection_limits.enter(handler)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """See a visitor out."""
        super().connection_lost(handler, exc)
        if isinstance(handler, Connection):
            self._connection_limits.leave(handler)

    def __call__(self) -> RequestHandler:
        return FastPathProtocol(self._hits, self, loop=self.loop, **options_of(self))
