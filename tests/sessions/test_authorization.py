"""Signing in: where it begins, what comes back, and where it lands."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from proxy.domain.errors import BadRequest
from proxy.domain.seal import Purpose, Sealer
from proxy.domain.sign_in_errors import SignInFailed
from proxy.sessions.authorization import (
    MAX_LANDING_CHARS,
    Attempt,
    answered,
    authorize_url,
    is_answer,
    landing,
    open_attempt,
    seal_attempt,
)
from proxy.sessions.pkce import challenge_of

NOW = 1_795_442_300.0
SITE = "0123abcd"
SEALER = Sealer(["k" * 32])
ATTEMPT = Attempt("the-state", "the-verifier", "/gallery.html", NOW + 900)
ORIGIN = URL("https://cloud.example.com")


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("/", "/"),
        ("/gallery.html", "/gallery.html"),
        ("/gallery.html?page=2&sort=a//b#top", "/gallery.html?page=2&sort=a//b#top"),
        ("/a?next=https://evil.example", "/a?next=https://evil.example"),
        ("/my page", "/my%20page"),
        ("/日落", "/%E6%97%A5%E8%90%BD"),
        ("/a%20b", "/a%20b"),
        ("/a..b/...", "/a..b/..."),
        ("/100%", "/100%"),
        ("/\uff0fevil.example", "/%EF%BC%8Fevil.example"),
        ("/\u2028x", "/%E2%80%A8x"),
        ("/\u202e", "/%E2%80%AE"),
        ("/session", "/session"),
        ("/sessions/login", "/sessions/login"),
        ("/@evil.example", "/@evil.example"),
        ("/:8080", "/:8080"),
    ],
)
def test_a_path_on_this_site_is_landed_at(text: str, location: str) -> None:
    assert landing([text], "/session") == location


def test_without_a_wish_it_is_the_front_page() -> None:
    assert landing([], "/session") == "/"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gallery.html",
        "https://evil.example",
        "https:/gallery.html",
        "javascript:alert(1)",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "\\\\evil.example",
        " //evil.example",
        "/ /evil.example/..//x",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        "/a\r\nSet-Cookie: thumb_session=x",
        "/a\0b",
        "/a\x7fb",
        "/a?b\\c",
        "/%2F/evil.example",
        "/%2f%2fevil.example",
        "/%5Cevil.example",
        "/%5cevil.example",
        "/%09/evil.example",
        "/%0d%0aSet-Cookie:x",
        "/%252F%252Fevil.example",
        "/%25252f/evil.example",
        "/a//b",
        "/./a",
        "/../a",
        "/a/..",
        "/.//evil.example",
        "/a/../..//evil.example",
        "/%2e%2e//evil.example",
        "/%2e/a",
        "/x/.%2E/session/login",
        "/session/login",
        "/session/login?next=/",
        "/session/login/",
        "/session/callback?code=x",
        "/Session/Login",
        "/%73ession/login",
        "/session%2flogin",
        "/session/login#x",
        "/\ud800",
        "/" + "a" * MAX_LANDING_CHARS,
    ],
)
def test_a_landing_on_another_site_is_refused(text: str) -> None:
    """Whatever a browser, or a server on the way that decodes once more, might make of it."""
    with pytest.raises(BadRequest, match="next"):
        landing([text], "/session")


def test_two_wishes_are_none() -> None:
    with pytest.raises(BadRequest):
        landing(["/a", "/b"], "/session")


@given(
    st.lists(
        st.sampled_from(["/", "\\", ".", "%2f", "%5c", "%2e", "\t", "\n", "evil.example", "@", ":", "?", "#", "a"])
    )
)
@example(["/", "%2f"])
def test_wherever_one_lands_it_is_this_site(parts: list[str]) -> None:
    """Any mixture of what is special in URLs; browsers drop tabs and line breaks and turn backslashes first."""
    try:
        location = landing(["".join(parts)], "/session")
    except BadRequest:
        return
    assert location.isascii()
    assert location.isprintable()
    for read in (location, location.replace("\\", "/"), unquote(location)):
        assert ORIGIN.join(URL(read, encoded=True)).origin() == ORIGIN
        assert urlsplit(read).netloc == ""


def test_the_consent_page_is_asked_for_everything_it_needs() -> None:
    back = "https://thumbs.example.com/session/callback"
    url = authorize_url("https://cloud.example.com", "an id", back, "openid Files.Read", ATTEMPT)
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "cloud.example.com", "/session/authorize")
    assert parse_qs(parts.query, strict_parsing=True) == {
        "client_id": ["an id"],
        "redirect_uri": [back],
        "response_type": ["code"],
        "scope": ["openid Files.Read"],
        "state": ["the-state"],
        "code_challenge": [challenge_of("the-verifier")],
        "code_challenge_method": ["S256"],
    }
    assert "the-verifier" not in url
    assert "+" not in url


def test_an_attempt_is_kept_by_its_browser_for_a_while() -> None:
    text = seal_attempt(SEALER, ATTEMPT, SITE)
    assert open_attempt(SEALER, text, SITE, NOW) == ATTEMPT
    assert open_attempt(SEALER, text, SITE, ATTEMPT.until) is None
    assert open_attempt(SEALER, text, "another0", NOW) is None


@pytest.mark.parametrize(
    "text", [None, "", "garbage", SEALER.seal(Purpose.STATE, b"x"), SEALER.seal(Purpose.SESSION, b"x")]
)
def test_any_other_text_is_no_attempt(text: str | None) -> None:
    assert open_attempt(SEALER, text, SITE, NOW) is None


def test_the_code_of_one_s_own_attempt_is_taken() -> None:
    assert answered(ATTEMPT, ["the-state"], ["the-code"], []) == (ATTEMPT, "the-code")
    assert is_answer(ATTEMPT, ["the-state"])


@pytest.mark.parametrize(
    ("attempt", "states", "codes", "errors", "told"),
    [
        (None, ["the-state"], ["the-code"], [], "did not begin in this browser"),
        (ATTEMPT, [], ["the-code"], [], "another sign-in"),
        (ATTEMPT, [""], ["the-code"], [], "another sign-in"),
        (ATTEMPT, ["the-stat"], ["the-code"], [], "another sign-in"),
        (ATTEMPT, ["\ud800"], ["the-code"], [], "another sign-in"),
        (ATTEMPT, ["the-state", "the-state"], ["the-code"], [], "another sign-in"),
        (ATTEMPT, ["the-state"], [], [], "no code"),
        (ATTEMPT, ["the-state"], [""], [], "no code"),
        (ATTEMPT, ["the-state"], ["a", "b"], [], "no code"),
        (ATTEMPT, ["the-state"], ["a b"], [], "no code"),
        (ATTEMPT, ["the-state"], ["x" * 513], [], "no code"),
        (ATTEMPT, ["the-state"], ["the-code"], ["access_denied"], "did not agree: access_denied"),
        (ATTEMPT, ["the-state"], [], ["<script>call 0900"], "did not agree: an unknown error"),
        (ATTEMPT, ["another"], [], ["access_denied"], "another sign-in"),
    ],
)
def test_everything_else_that_comes_back_is_refused(
    attempt: Attempt | None, states: Sequence[str], codes: Sequence[str], errors: Sequence[str], told: str
) -> None:
    """Above all a code that somebody else obtained; and nobody's text is repeated."""
    with pytest.raises(SignInFailed) as failed:
        answered(attempt, states, codes, errors)
    assert told in failed.value.detail
    assert "script" not in failed.value.detail


def test_secrets_of_an_attempt_are_not_printed() -> None:
    assert "the-" not in repr(ATTEMPT)
