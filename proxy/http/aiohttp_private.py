"""Every private name of aiohttp that the gateway uses, under public names of its own.

aiohttp may rename them in any release: `pyproject.toml` bounds its version, `aiohttp_trial` tries them out at each
start, and `deploy/aiohttp` runs the tests on the oldest and the newest version allowed. Attributes are aliased by the
descriptors of their slots, which costs nothing when they are read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import aiohttp
from aiohttp import web, web_protocol
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server

Answered = tuple[web.StreamResponse, bool]
"""A response, and whether its connection broke meanwhile."""

MOMENT_S = 1e-6

OF_CONNECTIONS = (
    *("_buffer_paused", "_close", "_force_close", "_handle_request", "_keepalive_timeout", "_loop", "_messages"),
    *("_next_keepalive_close_time", "_pause_reading_for_buffer", "_paused", "_payload_parser", "_request_count"),
    *("_request_in_progress", "_resume_reading_for_buffer", "_resume_reading_if_drained", "_task_handler", "_waiter"),
)
OF_CLASSES = (
    (web.AppRunner, "_make_server"),
    (web.StreamResponse, "_send_headers_immediately"),
    (aiohttp.ClientRequest, "_continue"),
    (aiohttp.Payload, "_consumed"),
    (web_protocol, "_ErrInfo"),
)


def _of_connection(name: str) -> Any:  # noqa: ANN401 - each alias has its own type
    return getattr(RequestHandler, name, None)


class PrivateConnection(RequestHandler):
    """aiohttp's connection to a visitor."""

    __slots__ = ()

    loop: asyncio.AbstractEventLoop = _of_connection("_loop")
    waiter: asyncio.Future[None] | None = _of_connection("_waiter")
    """Pending while the connection is idle."""
    messages: deque[tuple[Any, StreamReader]] = _of_connection("_messages")
    """Requests that have been read and not begun."""
    request_count: int = _of_connection("_request_count")
    """How many requests have been read."""
    is_request_in_progress: bool = _of_connection("_request_in_progress")
    task: asyncio.Task[None] | None = _of_connection("_task_handler")
    idle_until: float = _of_connection("_next_keepalive_close_time")
    """When the connection closes unless a request comes, by the loop's clock."""
    idle_timeout_s: float = _of_connection("_keepalive_timeout")
    will_close: bool = _of_connection("_close")
    is_closed: bool = _of_connection("_force_close")
    is_writing_paused: bool = _of_connection("_paused")
    is_held: bool = _of_connection("_buffer_paused")
    """Whether nothing is read because of `hold`."""
    tunnel: Any = _of_connection("_payload_parser")
    """Takes what comes over a connection that is HTTP no longer."""
    hold: Callable[[], None] = _of_connection("_pause_reading_for_buffer")
    release: Callable[[], None] = _of_connection("_resume_reading_for_buffer")
    handle_request: Callable[..., Awaitable[Answered]] = _of_connection("_handle_request")
    """Answers one request; to be overridden."""
    release_if_drained: Callable[[], None] = _of_connection("_resume_reading_if_drained")
    """To be overridden."""

    def _handle_request(self, *work: Any) -> Any:  # noqa: ANN401 - aiohttp's
        return self.handle_request(*work)

    def _resume_reading_if_drained(self) -> None:
        self.release_if_drained()

    @property
    def is_waiting(self) -> bool:
        """Tell whether the connection waits for a request."""
        return self._waiter is not None and not self._waiter.done()

    def touch(self) -> None:
        """Count the idle time from a moment after now on.

        uvloop counts time in milliseconds: the moment tells a connection that was used in its first one from one that
        never was.
        """
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout + MOMENT_S

    def read_error(self, status: int, error: BaseException) -> None:
        """Put an error in the place of the next request."""
        self._messages.append((web_protocol._ErrInfo(status, error, ""), EMPTY_PAYLOAD))
        self._request_count += 1
        if self._waiter is not None and self.is_waiting:
            self._waiter.set_result(None)

    def take_back(self) -> bool:
        """Take back the request that was read last, if it has not begun."""
        if not self._messages:
            return False
        self._messages.pop()
        self._request_count -= 1
        return True


def error_of(message: RawRequestMessage | Any) -> BaseException | None:  # noqa: ANN401 - aiohttp's
    """Give the error that stands in the place of a request."""
    return message.exc if isinstance(message, web_protocol._ErrInfo) else None


class HeadFirst(web.Response):
    """A response whose head is sent by itself, so that visitors who read slowly share one copy of the body."""

    _send_headers_immediately = True


def options_of(server: Server) -> Mapping[str, Any]:
    """Give the options with which a server makes its connections."""
    return cast("Mapping[str, Any]", server._kwargs)


class PrivateRunner(web.AppRunner):
    """Runs an application on a server of another class."""

    async def _make_server(self) -> Server:
        return self.served_by(await super()._make_server())

    def served_by(self, server: Server) -> Server:
        """Give the server in place of aiohttp's; to be overridden."""
        return server


def keep_bytes(writer: AbstractStreamWriter, fields: Mapping[str, str]) -> None:
    """Write a head anew, in which aiohttp has left out the bytes of field values that are not UTF-8."""
    head = getattr(writer, "_headers_buf", None)
    if isinstance(writer, StreamWriter) and head is not None and not is_ascii(fields):
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        first = head.partition(b"\r\n")[0]
        writer._headers_buf = b"%b\r\n%b\r\n" % (first, lines.encode("utf-8", "surrogateescape"))


def is_ascii(fields: Mapping[str, str]) -> bool:
    """Tell whether all values are, so that aiohttp writes them as they are."""
    return all(map(str.isascii, fields.values()))


def go_ahead(request: aiohttp.ClientRequest) -> asyncio.Future[bool] | None:
    """Give what a request waits for before it sends its body: `100 Continue`."""
    return request._continue


def begin_at_once(request: aiohttp.ClientRequest) -> None:
    """Have the head written apart from the body, without waiting for anything."""
    request._continue = asyncio.get_running_loop().create_future()
    request._continue.set_result(True)


def mark_consumed(body: aiohttp.Payload) -> None:
    """Note that a body cannot be sent a second time."""
    body._consumed = True


def missing() -> list[str]:
    """List the private names that this version of aiohttp does not have."""
    names = [f"{owner.__name__}.{name}" for owner, name in OF_CLASSES if not hasattr(owner, name)]
    return names + [f"RequestHandler.{name}" for name in OF_CONNECTIONS if not hasattr(RequestHandler, name)]
