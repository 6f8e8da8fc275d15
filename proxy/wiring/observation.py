"""Builds what hears of every step, and the log of requests."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack

from proxy.domain.log_digests import digests_for
from proxy.http.request_log import RequestLog
from proxy.http.request_origin import RequestOrigin
from proxy.identity.identify import Identifier
from proxy.observe.failures import Failures
from proxy.observe.metrics import Metrics
from proxy.observe.span import Observer
from proxy.observe.span_log import SpanLog
from proxy.sessions.cookies import SessionCookies
from proxy.settings import Settings


def observer(settings: Settings, metrics: Metrics) -> Observer:
    """Make spans heard by the metrics, and at level debug by the log."""
    return Observer(metrics, SpanLog()) if settings.log.level == "debug" else Observer(metrics)


def request_log(
    settings: Settings,
    identifier: Identifier,
    cookies: SessionCookies,
    request_origin: RequestOrigin,
    stack: AsyncExitStack,
) -> RequestLog:
    """Make the log of requests; the summaries that are due are written at the end."""
    keys = [key.get_secret_value() for key in settings.seal.keys]
    failures = Failures(asyncio.get_running_loop().call_later)
    stack.callback(failures.close)
    digests = digests_for(keys, settings.site, fallback=secrets.token_urlsafe(32))
    return RequestLog(identifier.known_user, cookies.session, request_origin, digests, failures, settings)
