"""The line of each request, and the warning of those that failed: why, for which file and for which visitor."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial

import structlog
from aiohttp import web

from proxy.domain.credentials import Credentials
from proxy.domain.errors import ProxyError
from proxy.domain.file_uri import FileUri, parse
from proxy.domain.log_digests import LogDigests
from proxy.http.outcome import PASSED, Outcome
from proxy.http.problems import new_request_id
from proxy.http.request_origin import RequestOrigin
from proxy.http.thumb_request import bearer
from proxy.observe.failures import Facts, Failures, Kind
from proxy.observe.prerendered import prerendered_line
from proxy.observe.span import Field
from proxy.passthrough.route_patterns import route_pattern
from proxy.passthrough.routes import ROUTE
from proxy.settings import Settings

LINES = 1024
"""So many kinds of lines are kept rendered: routes of Cloudreve by methods and statuses."""
_FAILED = frozenset({500, 502, 503, 504})
"""Statuses of Cloudreve's own that tell of its failure; 501 and 507 may be a visitor's doing."""

_log = structlog.get_logger("proxy.http")


class RequestLog:
    """Tells of requests. What it costs to say why falls on those that ended in an error alone."""

    def __init__(
        self,
        known_user: Callable[[Credentials], str],
        cookie: Callable[[web.Request], str | None],
        request_origin: RequestOrigin,
        digests: LogDigests,
        failures: Failures,
        settings: Settings,
    ) -> None:
        self._known_user = known_user
        self._cookie = cookie
        self._request_origin = request_origin
        self._digests = digests
        self._failures = failures
        self._max_uri_bytes = settings.server.max_uri_bytes
        self._tells_all = settings.log.requests == "all"
        self._tells_address = settings.log.client_address
        self._line = lru_cache(LINES)(partial(prerendered_line, "proxy.http", "request"))

    def begin(self, request: web.Request) -> dict[str, Field]:
        """Give what a span tells of a request that has just come: its method, and the trace that a proxy began."""
        trace = self._request_origin.traceparent(request)
        return {"method": request.method, "traceparent": trace} if trace else {"method": request.method}

    def tell(self, request: web.Request, outcome: Outcome, status: int | None, seconds: float) -> None:
        """Write the line of a request that has ended, and of a failure the warning."""
        route = _route(request, outcome.name)
        if outcome.error is not None:
            facts = self._facts(request, route, status)._replace(request_id=outcome.request_id or new_request_id())
            self._tell_error(request, outcome.error, facts, seconds)
            return
        if self._tells_all:
            self._line(method=request.method, route=route, status=status, outcome=outcome.name).after(seconds * 1000)
        if outcome.name == PASSED and status in _FAILED:
            self._failures.tell(Kind(PASSED, f"Cloudreve answered with {status}."), Facts(None, route, status))

    def _tell_error(self, request: web.Request, error: ProxyError, facts: Facts, seconds: float) -> None:
        correlation_id = error.correlation_id or None
        _log.info(
            "request",
            method=request.method,
            route=facts.route,
            status=facts.status,
            outcome=error.category,
            ms=round(seconds * 1000, 2),
            code=error.code,
            correlation_id=correlation_id,
            request_id=facts.request_id,
            file=facts.file,
            visitor=facts.visitor,
            client=facts.client,
        )
        if error.is_failure:
            kind = Kind(error.category, error.detail or error.title, error.code, error.advice, error.storage)
            self._failures.tell(kind, facts._replace(correlation_id=correlation_id))

    def _facts(self, request: web.Request, route: str, status: int | None) -> Facts:
        user, uri, client = self._user(request), self._uri(request), self._request_origin.client(request)
        visitor = self._digests.user(user) if user else self._digests.address(client) if client else None
        return Facts(
            route=route,
            status=status,
            file=self._digests.file(uri, user) if uri is not None else None,
            visitor=visitor,
            client=self._request_origin.seen(request).client or None if self._tells_address else None,
        )

    def _user(self, request: web.Request) -> str:
        with suppress(ProxyError):
            token = bearer(request.headers.getall("Authorization", ()))
            return self._known_user(Credentials(token, cookie=self._cookie(request)))
        return ""

    def _uri(self, request: web.Request) -> FileUri | None:
        uris = request.query.getall("uri", ())
        with suppress(ProxyError):
            return parse(uris[0], self._max_uri_bytes) if len(uris) == 1 else None
        return None


def _route(request: web.Request, outcome: str) -> str:
    """Name the route, not the path: a path may hold what nobody is to read."""
    resource = request.match_info.route.resource
    name = resource.canonical if resource is not None else "none"
    return route_pattern(request.rel_url.raw_path) if outcome == PASSED or name == ROUTE else name
