"""Builds the listeners of spans, the log of requests, and the status page."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from proxy.admin.reporter import Reporter
from proxy.admin.routes import routes
from proxy.admin.status import Page, page
from proxy.domain.log_digests import digests_for
from proxy.http.health import Health
from proxy.http.request_log import RequestLog
from proxy.http.request_origin import RequestOrigin
from proxy.identity.identify import Identifier
from proxy.observe.failures import Failures
from proxy.observe.metrics import Metrics
from proxy.observe.span import Listener, Observer
from proxy.observe.span_log import SpanLog
from proxy.sessions.cookies import SessionCookies
from proxy.sessions.oauth_routes import SignIn
from proxy.settings import Settings
from proxy.settings.trace_settings import TraceSettings

if TYPE_CHECKING:
    from proxy.observe.traces import Traces

_log = structlog.get_logger("proxy.wiring.process")


def observer(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> Observer:
    """Make spans heard by the metrics, at level debug by the log, and where they are wanted by traces."""
    listeners: list[Listener] = [metrics]
    traces = _traces(settings.trace, stack)
    if traces is not None:
        listeners.append(traces)
    if settings.log.level == "debug":
        listeners.append(SpanLog())
    return Observer(*listeners, trace_fields=traces.trace_fields) if traces is not None else Observer(*listeners)


def _traces(settings: TraceSettings, stack: AsyncExitStack) -> Traces | None:
    """Make traces; None where there is no endpoint, or no library."""
    if settings.endpoint is None:
        return None
    try:
        from proxy.observe.traces import Traces  # noqa: PLC0415 - the libraries come with an extra
    except ImportError as error:
        advice = "pip install 'cloudreve-thumb-proxy[otel]'"
        _log.warning("no traces", reason=f"{error.name} is not installed", advice=advice)
        return None
    traces = Traces(settings.endpoint, settings.sample_ratio)
    stack.push_async_callback(asyncio.to_thread, traces.close)
    return traces


def failures(stack: AsyncExitStack) -> Failures:
    """Make the warnings of failures; the summaries that are due are written at the end."""
    made = Failures(asyncio.get_running_loop().call_later)
    stack.callback(made.close)
    return made


def request_log(
    settings: Settings,
    identifier: Identifier,
    cookies: SessionCookies,
    request_origin: RequestOrigin,
    failures: Failures,
) -> RequestLog:
    """Make the log of requests."""
    keys = [key.get_secret_value() for key in settings.seal.keys]
    digests = digests_for(keys, settings.site, fallback=secrets.token_urlsafe(32))
    return RequestLog(identifier.known_user, cookies.session, request_origin, digests, failures, settings)


def sign_in_routes(sign_in: SignIn, health: Health, metrics: Metrics) -> list[web.RouteDef]:
    """Make the routes of signing in, and show whether sign-ins come back."""
    returns = sign_in.returns
    health.watch(returns.troubles)
    metrics.watch_total("sign_ins_begun", "Sign-ins sent to Cloudreve's page", lambda: returns.begun_total)
    metrics.watch_total("sign_ins_returned", "Sign-ins that came back", lambda: returns.returned_total)
    return sign_in.routes()


def status_routes(settings: Settings, reporter: Reporter) -> list[web.RouteDef]:
    """Make the status page of a process that has the admin port to itself."""

    async def shown() -> Page:
        return page(settings, {1: reporter.report()})

    return routes(shown, settings.admin)
