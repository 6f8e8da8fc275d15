"""aiohttp's connection to a visitor, with two more faults of aiohttp 3.14 mended (see `request_pipelining`).

1. A connection that is accepted while the server shuts down is told to close before it begins to wait for a request. It
   waits all the same, and holds up the shutdown until `server.shutdown_s` is over.
2. The answer to a request that breaks HTTP quotes it, tokens included.
"""

from __future__ import annotations

import asyncio
import math
from http import HTTPStatus
from typing import Any, cast

from aiohttp import HttpVersion11, web
from aiohttp.web_server import Server

from proxy.domain.errors import BadRequest, ProxyError
from proxy.domain.response_fields import problem, problem_fields
from proxy.http.request_pipelining import Pipeline
from proxy.http.reset import reset

_AT_ONCE_S = 0.01
_SERVER_SIDE = 500


class Connection(Pipeline):
    """Mends these faults, and tells how long the visitor has been idle, or too slow in sending or reading."""

    __slots__ = ("_unread", "_untouched", "_wire")

    def __init__(self, server: Server, **options: Any) -> None:  # noqa: ANN401 - aiohttp's, passed on
        super().__init__(server, **options)
        self._unread = (0, 0.0)
        self._untouched = 0.0
        self._wire: asyncio.Transport | None = None
        """The transport, which aiohttp lets go of when it begins to close, however long that takes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of when it was opened."""
        super().connection_made(transport)
        self._wire = cast("asyncio.Transport", transport)
        self._untouched = self.idle_until

    def resume_writing(self) -> None:
        """Take note that the visitor reads."""
        super().resume_writing()
        self._unread = (0, 0.0)

    @property
    def idle_since(self) -> float:
        """Tell since when, by the loop's clock, nothing has been done here; infinite while something is under way."""
        is_idle = self.is_waiting and not self._unread_bytes
        return self.idle_until - self.idle_timeout_s if is_idle else math.inf

    @property
    def is_used(self) -> bool:
        """Tell whether anything has been answered here."""
        return self.request_count > 0 or self.idle_until != self._untouched

    def head_takes_s(self, now: float) -> float:
        """Tell for how long a head has been on its way, or the first one has not come."""
        if not self.is_waiting:
            return 0.0
        if self._head_since is not None:
            return now - self._head_since
        return 0.0 if self.is_used else now - (self._untouched - self.idle_timeout_s)

    def unread_for_s(self, now: float) -> float:
        """Tell for how long the visitor has read nothing of what waits to be sent, as seen by repeated calls."""
        size_bytes, since = self._unread
        if not self._unread_bytes or self._unread_bytes != size_bytes:
            self._unread = (self._unread_bytes, now)
            return 0.0
        return now - since

    def cut_off(self) -> None:
        """Close at once, whatever is under way."""
        if self._wire is not None and (self.is_request_in_progress or self._unread_bytes):
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
        if self.waiter is None and not self.is_request_in_progress and not self.messages:
            self.force_close()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's
        """Wait for the request under way for `timeout` seconds, then end it; aiohttp would wait twice as long."""
        task = self.task
        if timeout and task is not None and self.is_request_in_progress:
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
        error = ProxyError("The gateway failed on this request.")
        if isinstance(exc, ProxyError):
            error = exc
        elif status < _SERVER_SIDE:
            error = BadRequest("The request breaks HTTP.")
        else:
            super().handle_error(request, status, exc)
        fields = {**dict(problem_fields(error)), "Server": "thumb-proxy", "Connection": "close"}
        response = web.Response(status=error.status, headers=fields, body=problem(error))
        response.force_close()
        return response


def announce_end(request: web.Request, response: web.StreamResponse) -> None:
    """Say with an answer that it is the last of its connection."""
    is_old = request.version < HttpVersion11 and "Connection" not in response.headers
    if is_old or (isinstance(request.protocol, Pipeline) and request.protocol.is_deaf):
        response.force_close()
    if not response.keep_alive and response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        upgrade = ", Upgrade" if "Upgrade" in response.headers else ""
        response.headers["Connection"] = f"close{upgrade}"
