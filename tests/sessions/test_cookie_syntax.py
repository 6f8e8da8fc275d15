"""Cookies on the wire."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from proxy.sessions.cookie_syntax import SameSite, cookie_name, read_cookie, set_cookie


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ((), None),
        (("",), None),
        (("thumb_session=abc",), "abc"),
        (("a=1; thumb_session=abc; b=2",), "abc"),
        (("a=1;thumb_session=abc",), "abc"),
        (("a=1", "thumb_session=abc"), "abc"),
        (("thumb_session=",), None),
        (("thumb_session",), None),
        (("Thumb_Session=abc",), None),
        (("x_thumb_session=abc",), None),
        (("__Host-thumb_session=abc",), None),
        (("thumb_session=abc; thumb_session=def",), None),
        (("thumb_session=abc", "thumb_session=abc"), None),
        (("a=thumb_session=abc",), None),
        (("thumb_session=a=b",), "a=b"),
    ],
)
def test_a_cookie_is_found_by_its_very_name(lines: Sequence[str], value: str | None) -> None:
    """Of two with one name, one was planted (by a neighbouring host, say), and nobody can tell which."""
    assert read_cookie(lines, "thumb_session") == value


def test_on_https_a_cookie_belongs_to_this_host_alone() -> None:
    """The prefix demands `Secure`, `Path=/` and no `Domain`, or browsers refuse it."""
    line = set_cookie("thumb_session", "abc", 60.9, is_secure=True, same_site=SameSite.STRICT)
    assert line == "__Host-thumb_session=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"


def test_on_plain_http_there_is_no_prefix() -> None:
    """Nor `Secure`, which browsers would not accept there."""
    line = set_cookie("thumb_session", "abc", 60, is_secure=False, same_site=SameSite.LAX)
    assert line == "thumb_session=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"


@pytest.mark.parametrize("remaining_s", [0, 0.5, -10])
def test_without_time_a_cookie_is_taken_away(remaining_s: float) -> None:
    """`Max-Age=0`."""
    assert "; Max-Age=0;" in set_cookie("thumb_session", "", remaining_s, is_secure=False, same_site=SameSite.STRICT)


def test_on_https_the_name_says_that_this_host_has_set_the_cookie() -> None:
    """Browsers take it from nobody else."""
    assert cookie_name("thumb_session", is_secure=True) == "__Host-thumb_session"
    assert cookie_name("thumb_session", is_secure=False) == "thumb_session"
