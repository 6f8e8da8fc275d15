"""The border at which errors become answers (RFC 9457)."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from proxy.domain.errors import MethodNotAllowed, NoSuchRoute, ProxyError
from proxy.domain.response_fields import joined, problem, problem_fields
from proxy.http.problem_page import FIELDS, Link, page, prefers_page

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OUTCOME = web.RequestKey("outcome", str)
"""How a request ended, in the vocabulary of the metrics."""
ERROR = web.RequestKey("error", ProxyError)
"""The error that it ended in."""
REQUEST_ID = "X-Request-Id"
_ID = web.RequestKey("request_id", str)
LEFT = "left"
"""The visitor did not wait for the answer, or not for all of it."""

_log = structlog.get_logger("proxy.http")


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer an error with problem+json and its true status, whatever raised it."""
    try:
        return await handler(request)
    except ProxyError as error:
        return problem_of(request, error)
    except web.HTTPMethodNotAllowed as error:
        return problem_of(request, MethodNotAllowed(", ".join(sorted(error.allowed_methods))))
    except web.HTTPNotFound:
        return problem_of(request, NoSuchRoute("There is nothing at this path."))
    except web.HTTPException:
        raise
    except ConnectionResetError:  # the visitor has left; what they wanted goes on for whoever comes next
        answer = problem_of(request, ProxyError("The connection broke."))
        request[OUTCOME] = LEFT
        return answer
    except Exception:  # noqa: BLE001 - the border: whatever it was, the visitor gets an answer
        _log.exception("a request ended unexpectedly", request_id=request_id(request))
        return problem_of(request, ProxyError("The gateway failed on this request."))


def problem_of(request: web.Request, error: ProxyError, link: Link | None = None) -> web.Response:
    """Make the answer that tells of an error: problem+json, or a page with a link where a person's browser asks."""
    note(request, error)
    named = request_id(request)
    told = (*problem_fields(error), (REQUEST_ID, named))
    if prefers_page(request.headers.getall("Accept", ())):
        return web.Response(status=error.status, headers=dict(joined(told, FIELDS)), body=page(error, link, named))
    return web.Response(status=error.status, headers=dict(told), body=problem(error, named))


def note(request: web.Request, error: ProxyError) -> None:
    """Note that a request has ended in an error, for metrics and log."""
    request[OUTCOME] = error.category
    request[ERROR] = error


def request_id(request: web.Request) -> str:
    """Name a request that has ended in an error: its answer and the log have the same name for it."""
    named = request.get(_ID)
    if named is None:
        named = request[_ID] = secrets.token_hex(8)
    return named


def is_problem(response: web.StreamResponse) -> bool:
    """Tell whether an answer tells of an error of ours."""
    return response.headers.get("Content-Type") == "application/problem+json"
