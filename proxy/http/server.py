"""aiohttp's server, with `Connection` for its connections.

Its answers have our own version of HTTP in their status lines, field values with the bytes that they came with, and
problem+json where aiohttp quotes `Expect`.
"""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_server import Server
from multidict import CIMultiDict

from proxy.domain.protocol_errors import ExpectationFailed
from proxy.http.aiohttp_private import PrivateRunner, keep_bytes, options_of
from proxy.http.connection import Connection
from proxy.http.problems import problem_of

_VERSION = "HTTP/1.1"


class _Writer(StreamWriter):
    """Writes answers."""

    async def write_headers(self, status_line: str, headers: CIMultiDict[str]) -> None:
        """Write the head, which names our own version of HTTP (RFC 9110 §6.2)."""
        await super().write_headers(_VERSION + status_line[len(_VERSION) :], headers)
        keep_bytes(self, headers)


class ConnectionServer(Server):
    """Serves an application."""

    def __init__(self, server: Server) -> None:
        self.loop = asyncio.get_running_loop()
        self._respond = server.request_handler
        self._make = server.request_factory
        super().__init__(
            self._answer,
            request_factory=self._request,
            handler_cancellation=server.handler_cancellation,
            loop=self.loop,
            **options_of(server),
        )

    def __call__(self) -> RequestHandler:
        """Make the protocol of a connection."""
        return Connection(self, loop=self.loop, **options_of(self))

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
        return self._make(message, payload, protocol, _Writer(protocol, self.loop), task)


class Runner(PrivateRunner):
    """Runs an application on such a server."""

    def served_by(self, server: Server) -> Server:
        """Have each connection made by `ConnectionServer`."""
        return ConnectionServer(server)
