"""Answers in the shape that Cloudreve's own API has, for clients that expect nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec

from proxy.domain.errors import BadRequest, InvalidToken, ProxyError, Refused
from proxy.domain.fields import Fields
from proxy.domain.response_fields import SAFETY, VARY_PUBLIC, problem_fields

_TYPE = ("Content-Type", "application/json; charset=utf-8")
_CACHING = ("Cache-Control", "private, no-cache")
"""As Cloudreve has it: the URL inside may be kept, the answer may not be shared."""

_BAD_PARAMETER = 40001
_LOGIN_REQUIRED = 401
_NO_THUMBNAIL = 40077


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An HTTP answer in Cloudreve's shape."""

    status: HTTPStatus
    fields: Fields
    body: bytes


class _Link(msgspec.Struct):
    url: str
    expires: datetime


class _Envelope(msgspec.Struct, omit_defaults=True):
    code: int
    data: _Link | None = None
    msg: str | None = None
    correlation_id: str = ""


def link(url: str, expires: float) -> ApiAnswer:
    """Give a thumbnail's URL, and until when it may be used: unix time in seconds."""
    return _said(_Envelope(0, _Link(url, datetime.fromtimestamp(expires, UTC)), ""))


def no(error: ProxyError, *, for_anybody: bool) -> ApiAnswer:
    """Give the reason why there is no URL.

    What Cloudreve refuses, or would refuse, is answered its way: status 200, with the reason in `code`. Any other error
    has its true status beside the same body, so that clients try again and Cloudreve's page shows an icon.

    A bad token is refused here, while Cloudreve treats it as anonymous. `code` 401 under status 200 makes its page sign
    the user out (docs/cloudreve.md, Sign-in), so that it is used only where anonymous visitors can see nothing;
    `for_anybody` says that they might see this URI, and then the status is 401 too.
    """
    if isinstance(error, Refused):
        refusal = error.refusal
        return _said(_Envelope(refusal.code or _NO_THUMBNAIL, None, refusal.message, refusal.correlation_id))
    if isinstance(error, BadRequest):
        return _said(_Envelope(_BAD_PARAMETER, None, error.detail))
    if isinstance(error, InvalidToken) and not for_anybody:
        return _said(_Envelope(_LOGIN_REQUIRED, None, "Login required"))
    code = _LOGIN_REQUIRED if isinstance(error, InvalidToken) else error.code or int(error.status)
    fields = (_TYPE, *(field for field in problem_fields(error) if field[0] != _TYPE[0]))
    return ApiAnswer(
        error.status, fields, _body(_Envelope(code, None, error.detail or error.title, error.correlation_id))
    )


def _said(envelope: _Envelope) -> ApiAnswer:
    return ApiAnswer(HTTPStatus.OK, (_TYPE, _CACHING, ("Vary", VARY_PUBLIC), *SAFETY), _body(envelope))


def _body(envelope: _Envelope) -> bytes:
    return msgspec.json.encode(envelope)
