"""Answers in Cloudreve's own shape."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from proxy.domain.errors import (
    BadRequest,
    Busy,
    InvalidToken,
    ProxyError,
    Refused,
    StillGenerating,
    TooSlow,
    Unreachable,
    UpstreamError,
)
from proxy.domain.fields import Fields
from proxy.domain.refusal import Generating, Refusal, RefusalKind
from proxy.http.api_envelope import ApiAnswer, link, no
from proxy.upstream.answers import Link, read_thumb


def field(fields: Fields, name: str) -> str | None:
    values = [value for key, value in fields if key == name]
    assert len(values) <= 1
    return values[0] if values else None


def body(reply: ApiAnswer) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(reply.body)
    return parsed


@pytest.mark.parametrize(
    ("expires", "written"),
    [
        (1795438287.658655, "2026-11-23T12:51:27.658655Z"),
        (1795438287.0, "2026-11-23T12:51:27Z"),
        (0.0, "1970-01-01T00:00:00Z"),
    ],
)
def test_a_link_has_url_and_expiry(expires: float, written: str) -> None:
    """RFC 3339 in UTC, as Cloudreve writes it; nothing says that it is obfuscated."""
    reply = link("/thumb/s/x", expires)
    assert reply.status == 200
    assert body(reply) == {"code": 0, "data": {"url": "/thumb/s/x", "expires": written}, "msg": ""}
    assert datetime.fromisoformat(written).timestamp() == pytest.approx(expires)


def test_a_link_reads_like_one_of_cloudreves() -> None:
    assert read_thumb(link("https://a.example/thumb/s/x", 1795438287.5).body) == Link(
        "https://a.example/thumb/s/x", 1795438287.5, obfuscated=False
    )


def test_no_cache_shares_an_answer() -> None:
    """As Cloudreve has it; our own failures are stored by nobody."""
    assert field(link("x", 0.0).fields, "Cache-Control") == "private, no-cache"
    assert (
        field(no(Refused(Refusal(RefusalKind.NOT_FOUND, 40016)), for_anybody=True).fields, "Cache-Control")
        == "private, no-cache"
    )
    assert field(no(Busy(), for_anybody=True).fields, "Cache-Control") == "no-store"


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (
            Refusal(RefusalKind.NOT_FOUND, 40016, "138cd9b5", "Path not exist"),
            {"code": 40016, "msg": "Path not exist", "correlation_id": "138cd9b5"},
        ),
        (
            Refusal(RefusalKind.UNAUTHENTICATED, 401, "b310cb9b", "Login required"),
            {"code": 401, "msg": "Login required", "correlation_id": "b310cb9b"},
        ),
        (Refusal(RefusalKind.NOT_FOUND, -1, "184d19a9"), {"code": -1, "msg": "", "correlation_id": "184d19a9"}),
        (Refusal(RefusalKind.UNKNOWN, 50001, "", "busy"), {"code": 50001, "msg": "busy"}),
        (Refusal(RefusalKind.NOT_FOUND, 0), {"code": 40077, "msg": ""}),
    ],
)
def test_a_refusal_is_told_as_cloudreve_told_it(refusal: Refusal, expected: dict[str, Any]) -> None:
    """Status 200, code, message and correlation id; success without a URL is none."""
    reply = no(Refused(refusal), for_anybody=True)
    assert (reply.status, body(reply)) == (200, expected)
    assert field(reply.fields, "Content-Type") == "application/json; charset=utf-8"
    assert field(reply.fields, "WWW-Authenticate") is None


def test_a_question_that_cannot_be_understood_has_cloudreves_code() -> None:
    """It would say no less."""
    reply = no(BadRequest("Exactly one `uri` is needed."), for_anybody=True)
    assert (reply.status, body(reply)) == (200, {"code": 40001, "msg": "Exactly one `uri` is needed."})


BAD_TOKEN = InvalidToken("Cloudreve does not accept this access token.")


def test_a_bad_token_is_refused_without_signing_the_user_out() -> None:
    """With status 200 Cloudreve's page would end the session over a thumbnail that anybody may see."""
    reply = no(BAD_TOKEN, for_anybody=True)
    assert (reply.status, body(reply)["code"]) == (401, 401)
    assert 'error="invalid_token"' in (field(reply.fields, "WWW-Authenticate") or "")
    assert field(reply.fields, "Cache-Control") == "no-store"


def test_a_bad_token_is_told_as_cloudreve_tells_it_where_nobody_may_look_without() -> None:
    """API clients sign in anew when they read this, and not otherwise."""
    reply = no(BAD_TOKEN, for_anybody=False)
    assert (reply.status, body(reply)) == (200, {"code": 401, "msg": "Login required"})
    assert field(reply.fields, "WWW-Authenticate") is None


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Busy("Too many."), 503, 503),
        (Unreachable(), 503, 503),
        (TooSlow("Too slow."), 504, 504),
        (StillGenerating(Generating(40073, "7fead31c")), 503, 40073),
        (StillGenerating(Generating(50004)), 503, 50004),
        (UpstreamError("Garbage."), 502, 502),
    ],
)
def test_errors_of_the_gateway_have_their_true_status(error: ProxyError, status: int, code: int) -> None:
    """A client that looks at the status tries again, and one that looks at `code` sees no success; no dialog opens."""
    reply = no(error, for_anybody=True)
    assert (reply.status, body(reply)["code"]) == (status, code)
    assert body(reply)["msg"] == (error.detail or error.title)
    assert field(reply.fields, "Retry-After") == (None if status == 502 else "2")
    assert field(reply.fields, "Content-Type") == "application/json; charset=utf-8"
