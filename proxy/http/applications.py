"""The two applications: what visitors reach and what operators reach."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CONTENT_TYPE_LATEST

from proxy.fastpath.index import FastPath
from proxy.http.connection import announce_end
from proxy.http.embed import Fallback
from proxy.http.health import Health
from proxy.http.problems import LEFT, OUTCOME, Handler, problems
from proxy.http.request_log import RequestLog
from proxy.observe.metrics import Metrics
from proxy.passthrough.routes import PASSED, Passthrough, leave_bare
from proxy.sessions.cookies import SessionCookies


class Applications:
    """Builds both applications, and counts and logs every request."""

    def __init__(
        self,
        metrics: Metrics,
        log: RequestLog,
        health: Health,
        hits: FastPath,
        cookies: SessionCookies,
        passthrough: Passthrough | None,
        fallback: Fallback | None,
        routes: Iterable[web.RouteDef],
    ) -> None:
        self.hits = hits
        self._cookies = cookies
        self._passthrough = passthrough
        self._fallback = fallback
        self._metrics = metrics
        self._health = health
        self._routes = list(routes)
        self._log = log

    def application(self) -> web.Application:
        """Make the visitors' side."""
        middlewares = [self._narrate] if self._fallback is None else [self._narrate, self._fallback.middleware]
        app = _application([*self._routes, *self._health.routes()], *middlewares)
        if self._passthrough is not None:
            app.add_routes(self._passthrough.routes())
            app.on_shutdown.append(self._passthrough.hang_up)
        app.on_response_prepare.append(self._cookies.renew)
        app.on_response_prepare.append(self._health.let_go)
        app.on_response_prepare.append(self.hits.offer)  # last, when nothing more is added to the head
        return app

    def admin_application(self) -> web.Application:
        """Make the operators' side."""
        return _application([web.get("/metrics", self._show_metrics), *self._health.routes()])

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @web.middleware
    async def _narrate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count the request and write its line: its route, never its query or its headers."""
        started = time.perf_counter()
        try:
            response = await handler(request)
        except asyncio.CancelledError:
            request[OUTCOME] = LEFT
            self._tell(request, None, time.perf_counter() - started)
            raise
        self._tell(request, response, time.perf_counter() - started)
        return response

    def _tell(self, request: web.Request, response: web.StreamResponse | None, seconds: float) -> None:
        outcome = request.get(OUTCOME)
        if outcome is None:  # health and the like
            return
        is_sent = outcome in ("hit", "miss") and request.method == "GET"
        sent_bytes = response.content_length if response is not None and is_sent else None
        self._metrics.request(outcome, seconds, sent_bytes or 0)
        status = response.status if response is not None and outcome != LEFT else None
        self._log.tell(request, outcome, status, seconds)


def _application(routes: Iterable[web.RouteDef], *middlewares: Middleware) -> web.Application:
    app = web.Application(middlewares=[*middlewares, problems])
    app.add_routes(routes)
    app.on_response_prepare.extend((_sign, leave_bare, announce_end))
    return app


async def _sign(_: web.Request, response: web.StreamResponse) -> None:
    if "server" not in response.get(PASSED, ()):
        response.headers["Server"] = "thumb-proxy"
