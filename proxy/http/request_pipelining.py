"""aiohttp's connection to a visitor, whose parser is given one request at a time.

A head is given when everything before it has been answered, a body as it comes, in a canonical framing
(`proxy.http.framing`). That mends four faults of aiohttp 3.14 (`tests/aiohttp_faults/`):

1. The first error in a segment erases the answers to the requests before it; so does anything behind `Connection:
   close`.
2. Behind a request with an `Upgrade` that is not `websocket`, the rest of its segment is swallowed.
3. A chunk that breaks HTTP, in the body of a request that is being handled already, becomes an error of the *next*
   request, and the reader of the body waits for ever. The last trailer of a chunked body turns up among the fields of
   the next request.
4. Heads are bounded line by line only: with 128 lines one takes two megabytes, for as long as its sender likes.

Where a socket is closed with bytes unread, the kernel sends a reset, which may destroy the last answer on its way. So a
connection whose last request is followed by others is read a while longer (`_linger`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.http import RawRequestMessage, WebSocketReader
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_server import Server

from proxy.domain.errors import BadRequest, ProxyError
from proxy.http.aiohttp_private import Answered, PrivateConnection, error_of
from proxy.http.framing import Body, ChunkedBody, HeadReader, LengthBody, Limits

LINES = 2
"""A head may be as large as this many lines of the greatest length (`server.max_header_bytes`)."""
HELD_BYTES = 65_536
"""So much of the requests behind the one that is being answered is read, or a head where that may be larger."""
LINGER_S = 2.0
"""For how long a connection is read behind its last answer."""


class Pipeline(PrivateConnection):
    """Requests of one connection, one after the other."""

    __slots__ = ("_answered", "_body", "_content", "_head_since", "_heads", "_held", "_most_held", "is_deaf")

    def __init__(self, server: Server, **options: Any) -> None:  # noqa: ANN401 - aiohttp's, passed on
        super().__init__(server, **options)
        limits = Limits(self.max_field_size, LINES * self.max_field_size, self.max_headers)
        self._answered = 0
        """How many requests aiohttp has done with."""
        self._heads = HeadReader(limits)
        self._head_since: float | None = None
        self._body: Body | None = None
        """The part that is still to come of the body of the last request that aiohttp was given."""
        self._content: StreamReader = EMPTY_PAYLOAD
        """Where aiohttp puts that body."""
        self._held = b""
        """Bytes that have come and that aiohttp was not given yet."""
        self._most_held = max(HELD_BYTES, limits.head_bytes)
        self.is_deaf = False
        """Whether the request under way is the last of the connection."""

    def data_received(self, data: bytes) -> None:
        """Give aiohttp what it may have of what has come; behind the last request nothing more is read."""
        if self.tunnel is not None:
            super().data_received(data)
            return
        if not data:  # aiohttp's own call, to go on with what its parser has kept back
            super().data_received(data)
        elif self.is_deaf:
            return
        else:
            self._held = self._held + data if self._held else data
        self._feed()

    def set_parser(self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None) -> None:
        """Begin to tunnel: what came behind the head is the first of it."""
        held, self._held = self._held, b""
        super().set_parser(parser, data_received_cb)
        if held:
            parser.feed_data(held)

    def _feed(self) -> None:
        while self._held and not (self.is_deaf or self.will_close or self.is_closed):
            may_go_on = self._feed_head() if self._body is None else self._feed_body(self._body)
            if not may_go_on:
                break
        self.release_if_drained()

    def release_if_drained(self) -> None:
        """Read as long as not too much is held."""
        is_much = len(self._held) > self._most_held
        if is_much and not self.is_held:
            self.hold()
        elif self.is_held and not is_much:
            self.release()

    @property
    def _is_between(self) -> bool:
        """Tell whether all requests that aiohttp was given are answered, and their bodies read to their ends."""
        return self._answered == self.request_count and self._body is None and self._content.is_eof()

    def _feed_head(self) -> bool:
        """Give aiohttp the next head; tell whether that was possible."""
        if not self._is_between:
            return False
        try:
            raw, head, self._held = self._heads.take(self._held)
        except ProxyError as error:
            return self._refuse(error)
        if not head:
            self._head_since = self._head_since or self.loop.time()
            return False
        self._head_since = None
        super().data_received(head)
        if self._answered == self.request_count:
            return self._refuse(BadRequest("The request breaks HTTP."))
        message, self._content = self.messages[-1]
        broken = error_of(message)
        if broken is not None:
            broken.__traceback__ = None  # it leads back to what holds it, and keeps for long all that has come
            self._stop()
            return False
        self._body = _body_of(message)
        self._note(raw)
        return True

    def _note(self, raw: bytes) -> None:
        """Take note of the head that aiohttp has just been given."""

    def _feed_body(self, body: Body) -> bool:
        """Give aiohttp what has come of a body; tell whether there was anything."""
        try:
            piece, rest = body.take(self._held)
        except BadRequest as error:
            return self._break_off(error)
        has_moved, self._held = len(rest) < len(self._held), rest
        if body.is_complete:
            self._body = None
        if piece:
            super().data_received(piece)
        return has_moved

    def _refuse(self, error: ProxyError) -> bool:
        """Answer with an error, and read no more."""
        error.__traceback__ = None
        self.read_error(int(error.status), error)
        self._stop()
        return False

    def _break_off(self, error: BadRequest) -> bool:
        """Refuse a request whose body breaks HTTP, or raise an error in the reader of the body."""
        if self.take_back():
            return self._refuse(error)
        self._stop()
        if self._answered < self.request_count:
            self._content.set_exception(web.RequestPayloadError("The body breaks HTTP."))
        else:
            self._content.feed_eof()
            self.close()
        return False

    def _stop(self) -> None:
        self.is_deaf, self._held, self._head_since = True, b"", None
        self.release_if_drained()

    async def handle_request(self, *work: Any) -> Answered:  # noqa: ANN401 - aiohttp's
        """Answer one request, to the last byte of the answer, and give aiohttp the next."""
        try:
            response, is_reset = await super().handle_request(*work)
        finally:
            self._answered += 1
        if is_reset:
            self._stop()
        elif self.is_deaf or not response.keep_alive:
            await self._linger()
        else:
            self._feed()
        return response, is_reset

    async def _linger(self) -> None:
        """End the last answer, and read what still comes for a while, lest a reset destroys the answer on its way."""
        transport, is_followed = self.transport, self.is_deaf or bool(self._held) or self._body is not None
        self._stop()
        if is_followed and self.tunnel is None and transport is not None and not transport.is_closing():
            transport.write_eof()
            await asyncio.sleep(LINGER_S)  # cancelled when the visitor closes the connection
        self.close()


def _body_of(message: RawRequestMessage) -> Body | None:
    if message.chunked:
        return ChunkedBody()
    length = int(message.headers.get("Content-Length", 0))
    return LengthBody(length) if length else None
