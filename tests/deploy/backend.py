"""A server behind nginx that remembers what reached it and answers as it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]
PUBLIC = {"Cache-Control": "public, max-age=60"}


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: CIMultiDictProxy[str]
    body: bytes


class Backend:
    """`async with Backend() as gateway: gateway.port`."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.port = 0
        self.requests: list[Seen] = []
        self.answering: Answering | None = None
        """Takes over altogether; the request's body is then its own affair."""
        self.status = 200
        self.body = b"a picture"
        self.headers: Mapping[str, str] = {}
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{rest:.*}", self._answer)
        self._runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=0.1,
            max_line_size=16384,
            max_field_size=16384,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Leave the port; entering again takes it back."""
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def last(self) -> Seen:
        """Give what arrived last."""
        return self.requests[-1]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = b"" if self.answering else await request.read()
        self.requests.append(Seen(request.method, request.raw_path, request.headers, body))
        if self.answering is not None:
            return await self.answering(request)
        headers = CIMultiDict({"X-Backend": self.name, "ETag": '"one"', **self.headers})
        if request.headers.get("If-None-Match") == '"one"':
            return web.Response(status=304, headers=headers)
        return web.Response(status=self.status, body=self.body, headers=headers)
