"""The stand-in Cloudreve: two servers on loopback, the site and its storage provider."""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from types import TracebackType
from typing import Self

from aiohttp import web

from proxy.standin.answer import not_found, success
from proxy.standin.call_handler import counted
from proxy.standin.calls import Call
from proxy.standin.consent import Consent
from proxy.standin.contents import Contents
from proxy.standin.cors import Handler, cors, let_read
from proxy.standin.events import Events
from proxy.standin.node import ROUTES as NODE_ROUTES
from proxy.standin.node import Node
from proxy.standin.provider import Provider
from proxy.standin.public import Public
from proxy.standin.sessions import Sessions
from proxy.standin.site import Site
from proxy.standin.thumbs import Thumbs
from proxy.standin.uploads import Uploads

VERSION = "4.14.0"
MAX_LINE_BYTES = 1024 * 1024
"""Go's bound for a whole head."""
_ENTITY = "/api/v4/file/content/{entity}/{speed}/{name}"
_CALLBACK = "/api/v4/callback/{driver}/{session}/{key}"


class StandIn(Site):
    """A `Site` that answers: `async with StandIn() as cloudreve: cloudreve.own_url`."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, size: tuple[int, int] = (400, 300), workers: int = 15
    ) -> None:
        super().__init__(size=size, workers=workers)
        self.events = Events(self)
        self._host = host
        self._port = port
        self._runners: list[web.AppRunner] = []

    async def start(self) -> None:
        """Listen; `own_url` and `foreign_url` then say where."""
        self.own_url = await self._listen(self._routes(), self._port)
        self._port = int(self.own_url.rpartition(":")[2])
        provider = Provider(self)
        handler, node = counted(self, "fetch", provider.fetch), counted(self, "fetch", Node(self).fetch)
        routes = [web.get("/bucket/{entity}/{name}", handler), *(web.get(path, node) for path in NODE_ROUTES)]
        self.foreign_url = await self._listen(routes, 0)

    async def stop(self) -> None:
        """Close everything and drop all work; `start` listens on the same port again."""
        await asyncio.gather(*(runner.cleanup() for runner in self._runners))
        self._runners.clear()
        await self.generator.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _routes(self) -> list[web.RouteDef]:
        thumbs, contents, sessions, uploads = Thumbs(self), Contents(self), Sessions(self), Uploads(self)
        consent = Consent(self, sessions)
        fetch, public = counted(self, "fetch", contents.fetch), Public(self)
        return [
            web.get("/api/v4/site/ping", counted(self, "ping", self._ping), allow_head=False),
            web.get("/api/v4/file/thumb", counted(self, "resolve", thumbs.resolve), allow_head=False),
            web.get(_ENTITY, fetch),
            web.options(_ENTITY, self._options),
            web.put("/api/v4/file/content", counted(self, "upload", uploads.put)),
            web.put("/api/v4/file/upload", counted(self, "upload", uploads.begin)),
            web.post("/api/v4/file/upload/{session}/{chunk}", counted(self, "upload", uploads.end)),
            web.get(_CALLBACK, counted(self, "upload", uploads.end)),
            web.post(_CALLBACK, counted(self, "upload", uploads.end)),
            web.put("/dav/{path:.+}", counted(self, "upload", uploads.dav)),
            web.delete("/dav/{path:.+}", counted(self, "upload", uploads.dav)),
            web.route("COPY", "/dav/{path:.+}", counted(self, "upload", uploads.dav)),
            web.delete("/api/v4/file", counted(self, "upload", uploads.delete)),
            web.patch("/api/v4/file/metadata", counted(self, "upload", uploads.mark)),
            web.get("/api/v4/session/oauth/userinfo", counted(self, "whoami", sessions.whoami), allow_head=False),
            web.post("/api/v4/session/token", counted(self, "sign-in", sessions.sign_in)),
            web.post("/api/v4/session/token/refresh", counted(self, "refresh", sessions.refresh)),
            web.delete("/api/v4/session/token", counted(self, "revoke", consent.revoke)),
            web.post("/api/v4/session/oauth/consent", counted(self, "consent", consent.consent)),
            web.post("/api/v4/session/oauth/token", counted(self, "exchange", consent.exchange)),
            web.get("/api/v4/session/oauth/app/{client}", counted(self, "app", public.app), allow_head=False),
            web.get("/api/v4/share/info/{share}", counted(self, "share", public.share), allow_head=False),
            web.get("/s/{share}", counted(self, "site_url", public.share_page), allow_head=False),
            web.get("/api/v4/file", counted(self, "folder", public.folder), allow_head=False),
            web.get("/api/v4/file/events", self.events.listen, allow_head=False),
            web.get("/session/authorize", counted(self, "consent", consent.page), allow_head=False),
            web.post("/session/authorize", counted(self, "consent", consent.press)),
            web.route("*", "/{rest:.*}", self._nowhere),
        ]

    async def _listen(self, routes: list[web.RouteDef], port: int) -> str:
        app = web.Application(client_max_size=64 * 1024 * 1024, middlewares=[self._cors])
        app.add_routes(routes)
        app.on_response_prepare.append(self._stamp)
        runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1, max_line_size=MAX_LINE_BYTES
        )
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, self._host, port).start()
        host, bound = runner.addresses[0][:2]
        return f"http://{host}:{bound}"

    @web.middleware
    async def _cors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        return await cors(self, request, handler)

    async def _stamp(self, request: web.Request, response: web.StreamResponse) -> None:
        """Date an answer by the site's clock, and say who may read it."""
        let_read(self, request, response)
        response.headers["Date"] = formatdate(self.now(), usegmt=True)

    async def _ping(self, request: web.Request, _call: Call) -> web.Response:
        self.bearer(request)
        return success(VERSION)

    async def _options(self, _request: web.Request) -> web.Response:
        return web.Response(headers={"Cache-Control": "private, no-cache"})

    async def _nowhere(self, _request: web.Request) -> web.Response:
        return not_found()
