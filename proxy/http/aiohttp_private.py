"""aiohttp's connection to a visitor, with five faults of aiohttp 3.14 mended.

1. A chunk that breaks HTTP, in the body of a request that is being handled already, becomes an error of the *next*
   request, and whoever reads the body waits for ever.
2. The last trailer of a chunked body turns up among the fields of the next request, which behind a load balancer may be
   another visitor's.
3. A connection that is accepted while the server shuts down is told to close before it begins to wait for a request. It
   waits all the same, and holds up the shutdown until `server.shutdown_s` is over.
4. The answer to a request that breaks HTTP quotes it, tokens included.
5. Heads are bounded line by line only: with 128 lines one takes two megabytes, for as long as its sender likes.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, cast

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from aiohttp.web_server import Server

from proxy.domain.errors import BadRequest, ProxyError
from proxy.domain.response_fields import problem, problem_fields
from proxy.http.reset import reset

LINES = 2
"""A head may be as large as this many lines of the greatest length (`server.max_header_bytes`)."""
_AT_ONCE_S = 0.01
_SERVER_SIDE = 500
_CLIENT_SIDE = 400


class Connection(RequestHandler):
    """Mends these faults, and tells `Crowd` how long the visitor has been idle, or too slow in sending or reading."""

    __slots__ = ("_body", "_head_bytes", "_head_since", "_is_deaf", "_unread", "_untouched", "_wire")

    def __init__(self, server: Server, **options: Any) -> None:  # noqa: ANN401 - aiohttp's, passed on
        super().__init__(server, **options)
        self._body: StreamReader = EMPTY_PAYLOAD
        self._head_bytes = 0
        self._head_since: float | None = None
        self._is_deaf = False
        self._unread = (0, 0.0)
        self._untouched = 0.0
        self._wire: asyncio.Transport | None = None
        """The transport, which aiohttp lets go of when it begins to close, however long that takes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of when it was opened."""
        super().connection_made(transport)
        self._wire = cast("asyncio.Transport", transport)
        self._untouched = self._next_keepalive_close_time

    def resume_writing(self) -> None:
        """Take note that the visitor reads."""
        super().resume_writing()
        self._unread = (0, 0.0)

    @property
    def idle_since(self) -> float:
        """Tell since when, by the loop's clock, nothing has been done here; infinite while something is under way."""
        is_idle = self._waiter is not None and not self._waiter.done() and not self._unread_bytes
        return self._next_keepalive_close_time - self._keepalive_timeout if is_idle else math.inf

    @property
    def is_used(self) -> bool:
        """Tell whether anything has been answered here."""
        return self._next_keepalive_close_time != self._untouched

    def head_takes_s(self, now: float) -> float:
        """Tell for how long a head has been on its way, or the first one has not come."""
        if self._waiter is None or self._waiter.done():
            return 0.0
        if self._head_since is not None:
            return now - self._head_since
        return 0.0 if self.is_used else now - (self._untouched - self._keepalive_timeout)

    def unread_for_s(self, now: float) -> float:
        """Tell for how long the visitor has read nothing of what waits to be sent, as seen by repeated calls."""
        size_bytes, since = self._unread
        if not self._unread_bytes or self._unread_bytes != size_bytes:
            self._unread = (self._unread_bytes, now)
            return 0.0
        return now - since

    def cut_off(self) -> None:
        """Close at once, whatever is under way."""
        if self._wire is not None and (self._request_in_progress or self._unread_bytes):
            reset(self._wire)  # an answer is under way
        elif self._wire is not None:
            self._wire.abort()  # closing would wait until all is read
        self.force_close()

    @property
    def _unread_bytes(self) -> int:
        return self._wire.get_write_buffer_size() if self._wire is not None else 0

    def close(self) -> None:
        """Close now, or behind the request under way."""
        super().close()
        if self._waiter is None and not self._request_in_progress and not self._messages:
            self.force_close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's
        """Wait for the request under way for `timeout` seconds, then end it; aiohttp would wait twice as long."""
        task = self._task_handler
        if timeout and task is not None and self._request_in_progress:
            await asyncio.wait({task}, timeout=timeout)
            timeout = _AT_ONCE_S
        await super().shutdown(timeout)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = _SERVER_SIDE,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or what nobody caught; the connection ends with it."""
        super().handle_error(request, status, exc)
        error = ProxyError("The gateway failed on this request.")
        if status < _SERVER_SIDE:
            error = BadRequest("The request breaks HTTP, or its head is too long.")
        fields = {**dict(problem_fields(error)), "Server": "thumb-proxy"}
        response = web.Response(status=error.status, headers=fields, body=problem(error))
        response.force_close()
        return response

    def data_received(self, data: bytes) -> None:
        """Parse what has come; after a request that breaks HTTP nothing more is read."""
        if self._is_deaf:
            return
        before, was_in_body = self._request_count, self._is_in_body()
        super().data_received(data)
        self._weigh(data, self._request_count - before, was_in_body=was_in_body)
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            self._is_deaf = True
            self._give_up(self._messages[-1][0])

    def _give_up(self, error: _ErrInfo) -> None:
        """Raise an error in whoever reads the body that breaks HTTP, if it was a body that did."""
        error.exc.__traceback__ = None  # it leads back to what holds it, and keeps for long all that has come
        waiting, current = [payload for _, payload in self._messages][:-1], self._current_request
        body = waiting[-1] if waiting else current.content if current is not None else None
        if body is not None and not body.is_eof():
            body.set_exception(web.RequestPayloadError("The body breaks HTTP."))

    def _weigh(self, data: bytes, begun: int, *, was_in_body: bool) -> None:
        """Count the bytes of a head that is not complete yet, and refuse one that is too large."""
        if self._close or self._force_close:
            return
        if self._messages:
            self._body = self._messages[-1][1]
        come_bytes = self._head_bytes + len(data)
        if begun or was_in_body or self._upgraded or self._is_in_body():
            self._head_bytes, self._head_since = 0, None
            if begun and come_bytes > LINES * self.max_field_size:
                self._check_heads(begun)
        elif data:
            self._head_bytes, self._head_since = come_bytes, self._head_since or self._loop.time()
            if come_bytes > LINES * self.max_field_size:
                self._refuse_head()

    def _is_in_body(self) -> bool:
        request = self._current_request
        return not self._body.is_eof() or (request is not None and not request.content.is_eof())

    def _check_heads(self, begun: int) -> None:
        """Refuse the first too large one of the complete heads that have just come, and all requests behind it."""
        place = max(len(self._messages) - begun, 0)
        for number in range(place, len(self._messages)):
            message = self._messages[number][0]
            if isinstance(message, RawRequestMessage) and _size_bytes(message) > LINES * self.max_field_size:
                while len(self._messages) > number:
                    self._messages.pop()
                return self._refuse_head()
        return None

    def _refuse_head(self) -> None:
        """Answer with an error behind what is under way, and read no more."""
        error = _ErrInfo(_CLIENT_SIDE, BadHttpMessage("The head is too large."), "")
        self._messages.append((error, EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _size_bytes(message: RawRequestMessage) -> int:
    return len(message.path) + sum(len(name) + len(value) for name, value in message.raw_headers)


async def close_behind_chunks(request: web.Request, response: web.StreamResponse) -> None:
    """Let a chunked request be the last of its connection; for `on_response_prepare`."""
    if "Transfer-Encoding" in request.headers:
        response.force_close()
        response.headers["Connection"] = "close"
