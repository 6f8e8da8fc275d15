"""aiohttp's server, with `Connection` for its connections.

Its answers have our own version of HTTP in their status lines, field values with the bytes that they came with, and
problem+json where aiohttp quotes `Expect`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server
from multidict import CIMultiDict

from proxy.domain.protocol_errors import ExpectationFailed
from proxy.http.aiohttp_private import Connection
from proxy.http.problems import problem_of

_VERSION = "HTTP/1.1"


def keep_bytes(writer: AbstractStreamWriter, fields: Mapping[str, str]) -> None:
    """Write a head anew, in which aiohttp has left out the bytes of field values that are not UTF-8."""
    if isinstance(writer, StreamWriter) and writer._headers_buf is not None and not is_ascii(fields):  # noqa: SLF001
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        first = writer._headers_buf.partition(b"\r\n")[0]  # noqa: SLF001
        writer._headers_buf = b"%b\r\n%b\r\n" % (first, lines.encode("utf-8", "surrogateescape"))  # noqa: SLF001


def is_ascii(fields: Mapping[str, str]) -> bool:
    """Tell whether all values are, so that aiohttp writes them as they are."""
    return all(map(str.isascii, fields.values()))


class _Writer(StreamWriter):
    """Writes answers."""

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        """Write the head, which names our own version of HTTP (RFC 9110 §6.2)."""
        await super().write_headers(_VERSION + status_line[len(_VERSION) :], headers)
        keep_bytes(self, headers)


class ConnectionServer(Server):
    """Serves an application."""

    def __init__(self, server: Server) -> None:
        self._respond = server.request_handler
        self._make = server.request_factory
        super().__init__(
            self._answer,
            request_factory=self._request,
            handler_cancellation=server.handler_cancellation,
            **server._kwargs,  # noqa: SLF001 - aiohttp offers no other way to its own settings
        )

    def __call__(self) -> RequestHandler:
        """Make the protocol of a connection."""
        return Connection(self, loop=self._loop, **self._kwargs)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._respond(request)
        except web.HTTPExpectationFailed:
            return problem_of(cast("web.Request", request), ExpectationFailed("`Expect` may be `100-continue`."))

    def _request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        _: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        return self._make(message, payload, protocol, _Writer(protocol, self._loop), task)


class Runner(web.AppRunner):
    """Runs an application on such a server."""

    async def _make_server(self) -> Server:
        return self._served_by(await super()._make_server())

    def _served_by(self, server: Server) -> Server:
        return ConnectionServer(server)
