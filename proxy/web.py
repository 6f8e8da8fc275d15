"""HTTP on one side, the model on the other: routes, middlewares, and how an answer is written."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from aiohttp import web
from multidict import CIMultiDict

from proxy.download import Download
from proxy.errors import MethodNotAllowed, NoSuchRoute, ProxyError
from proxy.gateway import Gateway, Shown
from proxy.metrics import Metrics
from proxy.model import Picture
from proxy.policy.headers import Fields, picture_fields, problem, problem_fields
from proxy.policy.request import thumb_request

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OUTCOME = web.RequestKey("outcome", str)
"""How a request ended, in the vocabulary of the metrics."""

_log = structlog.get_logger("proxy.web")


@dataclass(slots=True)
class Health:
    """Whether traffic may come; one per process."""

    is_ready: bool = False


class Web:
    """What visitors reach: the thumbnails, and whether this process is well."""

    def __init__(self, gateway: Gateway, metrics: Metrics, health: Health, max_uri_bytes: int) -> None:
        self._gateway = gateway
        self._metrics = metrics
        self._health = health
        self._max_uri_bytes = max_uri_bytes

    def application(self) -> web.Application:
        """Make the visitors' side."""
        app = web.Application(middlewares=[self._narrate])
        app.router.add_get("/thumb", self._thumb)  # HEAD comes with it
        self._add_health(app)
        return app

    def admin_application(self) -> web.Application:
        """Make the operators' side."""
        app = web.Application(middlewares=[_problems])
        app.router.add_get("/metrics", self._show_metrics)
        self._add_health(app)
        return app

    def _add_health(self, app: web.Application) -> None:
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)

    async def _thumb(self, request: web.Request) -> web.StreamResponse:
        answer = await self._gateway.answer(
            thumb_request(
                request.query.getall("uri", ()),
                authorization=request.headers.getall("Authorization", ()),
                ticket=request.headers.getall("X-Cr-Purchase-Ticket", ()),
                hint=request.headers.get("X-Cr-Context-Hint"),
                if_none_match=request.headers.getall("If-None-Match", ()),
                max_uri_bytes=self._max_uri_bytes,
            )
        )
        fields = _fields(picture_fields(answer.identity, answer.etag, answer.fresh_for_s, answer.handling))
        if answer.shown is None:
            request[OUTCOME] = "not_modified"
            return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=fields)
        request[OUTCOME] = "hit" if answer.handling.is_hit else "miss"
        fields["Content-Type"] = answer.shown.head.media_type
        return await _show(request, answer.shown, fields)

    async def _healthz(self, _: web.Request) -> web.Response:
        return _plain("alive\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._health.is_ready:
            return _plain("ready\n")
        return _plain("draining\n", HTTPStatus.SERVICE_UNAVAILABLE)

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.exposition(), headers={"Content-Type": "text/plain; version=1.0.0; charset=utf-8"}
        )

    @web.middleware
    async def _narrate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn errors into answers, count the request and write its line: never its query, never its headers."""
        started = time.perf_counter()
        response = await _answered(request, handler)
        if request.path == "/thumb":
            seconds, outcome = time.perf_counter() - started, request.get(OUTCOME, "unknown")
            is_sent = outcome in ("hit", "miss") and request.method == "GET"
            self._metrics.request(outcome, seconds, (response.content_length or 0) if is_sent else 0)
            _log.info(
                "request",
                method=request.method,
                path=request.path,
                status=response.status,
                outcome=outcome,
                ms=round(seconds * 1000, 2),
            )
        return response


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    return await _answered(request, handler)


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ProxyError as error:
        return _problem(request, error)
    except web.HTTPMethodNotAllowed as error:
        return _problem(request, MethodNotAllowed(", ".join(sorted(error.allowed_methods))))
    except web.HTTPNotFound:
        return _problem(request, NoSuchRoute("There is nothing at this path."))
    except Exception:  # noqa: BLE001 - the border: whatever it was, the visitor gets an answer
        _log.exception("a request ended unexpectedly")
        return _problem(request, ProxyError("The gateway failed on this request."))


def _problem(request: web.Request, error: ProxyError) -> web.Response:
    request[OUTCOME] = error.category
    return web.Response(status=error.status, headers=_fields(problem_fields(error)), body=problem(error))


async def _show(request: web.Request, shown: Shown, fields: CIMultiDict[str]) -> web.StreamResponse:
    if isinstance(shown.body, Picture):
        return web.Response(body=shown.body.body, headers=fields)
    response = web.StreamResponse(headers=fields)
    response.content_length = shown.head.length_bytes
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    return await _stream(request, response, shown.body)


async def _stream(request: web.Request, response: web.StreamResponse, download: Download) -> web.StreamResponse:
    """Send what arrives; a picture that breaks off must not look complete, so its connection is cut."""
    try:
        async for chunk in download.chunks():
            await response.write(chunk)
    except ProxyError as error:
        request[OUTCOME] = error.category
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response


def _fields(fields: Fields) -> CIMultiDict[str]:
    return CIMultiDict((*fields, ("Server", "thumb-proxy")))


def _plain(text: str, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(text=text, status=status, headers={"Cache-Control": "no-store", "Server": "thumb-proxy"})
