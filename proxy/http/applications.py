"""The two applications: what visitors reach and what operators reach."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CONTENT_TYPE_LATEST

from proxy.http.connection import announce_end
from proxy.http.embed import Fallback
from proxy.http.health import Health
from proxy.http.outcome import LEFT, Outcome, outcome_of
from proxy.http.problems import Handler, problems
from proxy.http.request_log import RequestLog
from proxy.observe.metrics import Metrics
from proxy.observe.span import Kind, Observer, Span
from proxy.passthrough.routes import Passthrough
from proxy.sessions.cookies import SessionCookies

Complete = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


class Applications:
    """Builds both applications, and counts and logs every request."""

    def __init__(
        self,
        metrics: Metrics,
        observer: Observer,
        log: RequestLog,
        health: Health,
        cookies: SessionCookies,
        passthrough: Passthrough | None,
        fallback: Fallback | None,
        routes: Iterable[web.RouteDef],
    ) -> None:
        self._cookies = cookies
        self._passthrough = passthrough
        self._fallback = fallback
        self._metrics = metrics
        self._observer = observer
        self._health = health
        self._routes = list(routes)
        self._log = log

    def application(self) -> web.Application:
        """Make the visitors' side."""
        middlewares = [self._narrate] if self._fallback is None else [self._narrate, self._fallback.middleware]
        app = _application([*self._routes, *self._health.routes()], self._complete, *middlewares)
        if self._passthrough is not None:
            app.add_routes(self._passthrough.routes())
            app.on_shutdown.append(self._passthrough.hang_up)
        return app

    def admin_application(self, routes: Iterable[web.RouteDef]) -> web.Application:
        """Make the operators' side: metrics, health, and these routes."""
        health = self._health.routes(names_troubles=True)
        return _application([web.get("/metrics", self._show_metrics), *health, *routes], _complete)

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    @web.middleware
    async def _narrate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count the request and write its line: its route, never its query or its headers."""
        with self._observer.span("request", Kind.REQUEST, **self._log.begin(request)) as span:
            try:
                response = await handler(request)
            except asyncio.CancelledError:
                self._tell(span, request, Outcome(LEFT))
                raise
            outcome = outcome_of(response)
            if outcome is not None:
                self._tell(span, request, outcome, response)
            return response

    def _tell(
        self, span: Span, request: web.Request, outcome: Outcome, response: web.StreamResponse | None = None
    ) -> None:
        is_sent = outcome.name in ("hit", "miss") and request.method == "GET"
        sent_bytes = response.content_length if response is not None and is_sent else None
        status = response.status if response is not None and outcome.name != LEFT else None
        span.outcome = outcome.name
        span.note(sent_bytes=sent_bytes or 0, status=status)
        self._log.tell(request, outcome, status, span.elapsed_s)

    async def _complete(self, request: web.Request, response: web.StreamResponse) -> None:
        """Complete a head that is about to leave; for `on_response_prepare`."""
        await _complete(request, response)
        self._cookies.renew(request, response)
        self._health.let_go(response)


def _application(routes: Iterable[web.RouteDef], complete: Complete, *middlewares: Middleware) -> web.Application:
    app = web.Application(middlewares=[*middlewares, problems])
    app.add_routes(routes)
    app.on_response_prepare.append(complete)
    return app


async def _complete(request: web.Request, response: web.StreamResponse) -> None:
    """Name the server, unless Cloudreve has; take off the type that aiohttp adds; announce the connection's end."""
    outcome = outcome_of(response)
    passed = outcome.passed if outcome is not None else None
    if passed is None or "server" not in passed:
        response.headers["Server"] = "thumb-proxy"
    if passed is not None and "content-type" not in passed:
        response.headers.popall("Content-Type", None)
    announce_end(request, response)
