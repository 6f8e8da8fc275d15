"""Sessions: what a cookie holds, when it is renewed, and who may use it."""

from __future__ import annotations

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.domain.errors import BadRequest, UpstreamError
from proxy.domain.seal import Purpose, Sealer
from proxy.sessions.cookie_syntax import cookie_name
from proxy.sessions.session import (
    MAX_LIFE_S,
    Session,
    may_change,
    may_sign_in,
    may_use_cookie,
    open_session,
    seal_session,
    session_of,
)
from proxy.standin import signing
from proxy.upstream.token_answers import Tokens

NOW = 1_795_442_300.0
SITE = "0123abcd"
OWN = "https://cloud.example.com"
SEALER = Sealer(["k" * 32])
SESSION = Session("id", "access", NOW, NOW + 3600, "refresh", NOW + 86400)
MAX_COOKIE_BYTES = 4096
"""Browsers drop a cookie whose name and value are longer together (RFC 6265bis §5.6)."""
TEXTS = st.text(string.ascii_letters + string.digits + "._-", max_size=400)


def token(kind: str = "access", life_s: float = 3600) -> str:
    return signing.issue(signing.Token(kind, "xntj", NOW, NOW + life_s), "a secret of the site's own")


def test_a_bearer_token_makes_a_session_as_long_as_itself() -> None:
    """It cannot be renewed."""
    session = session_of(Tokens(token()), "id", NOW + 100)
    assert (session.begun, session.expires, session.ends, session.refresh) == (NOW, NOW + 3600, NOW + 3600, "")
    assert not session.is_due(NOW + 3599)


def test_with_a_refresh_token_a_session_lasts_as_long_as_that() -> None:
    session = session_of(Tokens(token(), token("refresh", 86400)), "id", NOW)
    assert (session.expires, session.ends) == (NOW + 3600, NOW + 86400)


def test_no_session_lasts_longer_than_a_cookie_can() -> None:
    assert session_of(Tokens(token(life_s=9e9)), "id", NOW).ends == NOW + MAX_LIFE_S


@pytest.mark.parametrize("text", ["", "garbage", "a.b.c", "e30.e30.e30"])
def test_a_token_that_does_not_say_when_it_ends_makes_no_session(text: str) -> None:
    with pytest.raises(UpstreamError):
        session_of(Tokens(text), "id", NOW)


@pytest.mark.parametrize(
    ("life_s", "due_before_s", "spent_before_s"),
    [(3600, 60, 5), (600, 60, 5), (100, 10, 2), (10, 1, 0.2), (86400, 60, 5)],
)
def test_a_token_is_renewed_before_it_runs_out(life_s: float, due_before_s: float, spent_before_s: float) -> None:
    """A minute before, or a tenth of a short life; and not used at all in the last seconds."""
    session = replace(SESSION, expires=NOW + life_s)
    for before_s, is_true in ((due_before_s, True), (due_before_s + 0.01, False)):
        assert session.is_due(session.expires - before_s) is is_true
    for before_s, is_true in ((spent_before_s, True), (spent_before_s + 0.01, False)):
        assert session.is_spent(session.expires - before_s) is is_true


@given(st.builds(Session, TEXTS, TEXTS, st.just(NOW), st.floats(NOW, NOW + 1e6), TEXTS, st.floats(NOW + 1, NOW + 1e8)))
def test_a_sealed_session_opens_to_itself(session: Session) -> None:
    text = seal_session(SEALER, session, SITE)
    assert open_session(SEALER, text, SITE, NOW) == session
    assert set(text) <= set(string.ascii_letters + string.digits + "-_")


def test_a_session_opens_for_its_own_site_and_in_its_own_time_only() -> None:
    """Two sites behind gateways with one key must not get each other's tokens."""
    text = seal_session(SEALER, SESSION, SITE)
    assert open_session(SEALER, text, "another0", NOW) is None
    assert open_session(SEALER, text, SITE, SESSION.ends - 0.01) == SESSION
    assert open_session(SEALER, text, SITE, SESSION.ends) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "€",
        "a" * 5000,
        SEALER.seal(Purpose.SESSION, b""),
        SEALER.seal(Purpose.SESSION, b"\xc1"),
        SEALER.seal(Purpose.SESSION, b"\x91\xa9session/2"),
        SEALER.seal(Purpose.STATE, b"anything"),
        Sealer(["o" * 32]).seal(Purpose.SESSION, b"anything"),
    ],
)
def test_any_other_text_is_no_session(text: str) -> None:
    """Not an error: browsers send cookies by themselves."""
    assert open_session(SEALER, text, SITE, NOW) is None


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_cookie_is_none(place: int, change: int) -> None:
    text = seal_session(SEALER, SESSION, SITE)
    place %= len(text)
    changed = chr((ord(text[place]) ^ change) % 128 or 65)
    assert changed == text[place] or open_session(SEALER, text[:place] + changed + text[place + 1 :], SITE, NOW) is None


def test_a_session_either_fits_into_a_cookie_or_is_refused() -> None:
    """Browsers would drop a larger one without a word."""
    name = len(cookie_name("thumb_" + "x" * 58, is_secure=True))
    longest = max(size for size in range(2500, 3100) if _size(size) is not None)
    assert (_size(longest) or 0) + name <= MAX_COOKIE_BYTES < (_size(longest) or 0) + name + 100
    with pytest.raises(BadRequest, match="too long for a cookie"):
        seal_session(SEALER, replace(SESSION, access="x" * 10_000), SITE)


def _size(characters: int) -> int | None:
    try:
        return len(seal_session(SEALER, replace(SESSION, access="x" * characters), SITE))
    except BadRequest:
        return None


def test_tokens_of_a_session_are_not_printed() -> None:
    assert "access'" not in repr(SESSION)
    assert "refresh'" not in repr(SESSION)


@pytest.mark.parametrize(
    ("site", "may"),
    [
        (None, True),
        ("same-origin", True),
        ("same-site", True),
        ("none", True),
        ("cross-site", False),
        ("", False),
        ("Same-Origin", False),
        ("same-origin, cross-site", False),
    ],
)
def test_a_page_of_another_site_cannot_use_a_cookie(site: str | None, may: bool) -> None:
    """By the browser's word; a word that we do not know is a no."""
    assert may_use_cookie({} if site is None else {"Sec-Fetch-Site": site}) is may


@pytest.mark.parametrize(
    ("site", "origin", "may"),
    [
        (None, None, True),
        (None, OWN, True),
        (None, "https://evil.example", False),
        (None, "http://cloud.example.com", False),
        (None, "https://cloud.example.com:8443", False),
        (None, "https://cloud.example.com.evil.example", False),
        (None, "null", False),
        (None, "", False),
        ("same-origin", OWN, True),
        ("same-origin", "https://seen.from.behind.a.proxy", True),
        ("none", None, True),
        ("same-site", OWN, False),
        ("same-site", "https://app.example.com", True),
        ("same-site", "https://blog.example.com", False),
        ("cross-site", "https://evil.example", False),
        ("cross-site", "null", False),
        ("cross-site", None, False),
    ],
)
def test_only_our_own_pages_and_listed_ones_may_begin_and_end_sessions(
    site: str | None, origin: str | None, may: bool
) -> None:
    """What the browser says of the site goes before our own idea of our address; a client without either is no page."""
    headers = {name: value for name, value in (("Sec-Fetch-Site", site), ("Origin", origin)) if value is not None}
    assert may_change(headers, OWN, {"https://app.example.com"}) is may


@pytest.mark.parametrize(
    ("site", "dest", "may"),
    [
        (None, None, True),
        ("same-origin", "document", True),
        ("same-site", "document", True),
        ("none", "document", True),
        ("cross-site", "document", False),
        ("same-origin", "iframe", False),
        ("same-origin", "image", False),
        ("same-origin", "empty", False),
    ],
)
def test_nobody_is_signed_in_by_another_site(site: str | None, dest: str | None, may: bool) -> None:
    """Nor behind the visitor's back by a frame or an image."""
    headers = {name: value for name, value in (("Sec-Fetch-Site", site), ("Sec-Fetch-Dest", dest)) if value is not None}
    assert may_sign_in(headers) is may
