"""The border at which errors become answers (RFC 9457)."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from proxy.domain.errors import MethodNotAllowed, NoSuchRoute, ProxyError
from proxy.domain.response_fields import joined, problem, problem_fields
from proxy.http.outcome import LEFT, Outcome, ended, failed
from proxy.http.page_texts import language_of
from proxy.http.problem_page import FIELDS, Link, page, prefers_page

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID = "X-Request-Id"

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
    except ConnectionResetError:  # the visitor has left; the load goes on for the next one
        return ended(problem_of(request, ProxyError("The connection broke.")), Outcome(LEFT))
    except Exception:  # noqa: BLE001 - the border: whatever it was, the visitor gets an answer
        named = new_request_id()
        _log.exception("a request ended unexpectedly", request_id=named)
        return problem_of(request, ProxyError("The gateway failed on this request."), named=named)


def problem_of(
    request: web.Request, error: ProxyError, link: Link | None = None, named: str | None = None
) -> web.Response:
    """Make the answer that tells of an error: problem+json, or a page with a link where a person's browser asks."""
    named = named or new_request_id()
    told, body = (*problem_fields(error), (REQUEST_ID, named)), problem(error, named)
    if prefers_page(request.headers.getall("Accept", ())):
        language = language_of(request.headers.getall("Accept-Language", ()))
        told, body = joined(told, FIELDS), page(error, link, named, language)
    return ended(web.Response(status=error.status, headers=dict(told), body=body), failed(error, named))


def new_request_id() -> str:
    """Make a name for a request that ends in an error."""
    return secrets.token_hex(8)


def is_problem(response: web.StreamResponse) -> bool:
    """Tell whether an answer tells of an error of ours."""
    return response.headers.get("Content-Type") == "application/problem+json"
