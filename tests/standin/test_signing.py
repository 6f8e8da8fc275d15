"""Tokens and signatures: what is good, and for how long."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

import pytest

from proxy.standin import signing
from proxy.standin.signing import Token

NOW = 1_800_000_000.0
TOKEN = Token("access", "xntj", NOW, NOW + 3600, "a client", ("Files.Read", "openid"))


def test_a_token_says_what_was_signed() -> None:
    assert signing.verify(signing.issue(TOKEN, "key"), "key", NOW) == TOKEN


@pytest.mark.parametrize("now", [NOW - 1, NOW + 3600])
def test_a_token_has_its_time(now: float) -> None:
    """Not before, and not from the second on at which it expires."""
    assert signing.verify(signing.issue(TOKEN, "key"), "key", now) is None


def _forged(head: object, claims: object) -> str:
    parts = [urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, claims)]
    return ".".join([*parts, ""])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "a.b.c",
        "ü.ü.ü",
        _forged({"alg": "none"}, {"sub": "x"}),
        _forged({"alg": ["HS256"]}, {"sub": "x"}),
        _forged([], {}),
        _forged({"alg": "HS256"}, {"sub": "x"}),
    ],
)
def test_an_unsigned_text_is_no_token(text: str) -> None:
    """Neither garbage nor a token that waives its signature."""
    assert signing.verify(text, "key", NOW) is None


def test_another_key_signs_other_tokens() -> None:
    assert signing.verify(signing.issue(TOKEN, "key"), "other", NOW) is None


def test_a_path_s_signature_holds_to_the_end_of_its_second() -> None:
    """Expiry is in whole seconds, and the second itself is still good."""
    signature = signing.sign_path("/a/ü", "key", NOW + 0.9)

    assert signing.check_path("/a/ü", signature, "key", NOW + 0.99) is None
    assert signing.check_path("/a/ü", signature, "key", NOW + 1) == (40005, "signature expired")
    assert signing.check_path("/a/b", signature, "key", NOW) == (40071, "invalid sign")


def test_a_path_can_be_signed_for_ever() -> None:
    assert signing.check_path("/a", signing.sign_path("/a", "key", 0), "key", NOW) is None
