"""How long things count, by whose clock, and what a `Date` is worth."""

from __future__ import annotations

import time
from email.utils import formatdate
from math import floor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.domain.freshness import DATE_PRECISION_S, backoff_s, fresh_until, refusal_ttl_s, renew_at, skew
from proxy.domain.grant import Grant
from proxy.domain.refusal import Refusal, RefusalKind

NOW = 1795438287.0
RECORDED = "Mon, 23 Nov 2026 11:51:27 GMT"
RECORDED_S = 1795434687.0

moments = st.floats(0, 4e9)
spans = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("expires", "lifetime_s"),
    [
        (NOW + 3600, 3590.0),
        (NOW + 100, 90.0),
        (NOW + 9000, 3600.0),
        (None, 60.0),
        (NOW + 10, 0.0),
        (NOW + 4, -6.0),
        (NOW, -10.0),
        (NOW - 3600, -3610.0),
        (-62135596800.0, -62135596800.0 - NOW - 10),
    ],
)
def test_a_grant_counts_until_the_margin_before_its_end(expires: float | None, lifetime_s: float) -> None:
    """Never longer than the maximum, for the default where no end is set, and not at all where it is past."""
    until = fresh_until(expires, NOW, margin_s=10, max_ttl_s=3600, default_ttl_s=60)
    assert until == NOW + lifetime_s


@given(moments | st.none(), moments, spans, spans, spans)
def test_no_grant_outlives_its_end_or_the_maximum(
    expires: float | None, now: float, margin_s: float, max_ttl_s: float, default_ttl_s: float
) -> None:
    until = fresh_until(expires, now, margin_s=margin_s, max_ttl_s=max_ttl_s, default_ttl_s=default_ttl_s)
    assert until <= now + max_ttl_s
    assert until <= (now + default_ttl_s if expires is None else expires - margin_s + 1e-5)


def test_a_default_above_the_maximum_is_cut_to_it() -> None:
    assert fresh_until(None, NOW, margin_s=0, max_ttl_s=30, default_ttl_s=60) == NOW + 30


@pytest.mark.parametrize(
    ("life_s", "renew_s", "before_the_end_s"),
    [(3600, 60, 60), (3600, 3600, 720), (50, 60, 10), (3600, 0, 0), (0, 60, 0)],
)
def test_a_grant_is_renewed_shortly_before_its_end(life_s: float, renew_s: float, before_the_end_s: float) -> None:
    """In its last fifth at most, so that a short one is not renewed at every request."""
    grant = Grant("url", NOW + life_s, "ab12", own=True, granted_at=NOW)
    assert renew_at(grant, renew_s) == NOW + life_s - before_the_end_s


@pytest.mark.parametrize(
    ("date", "theirs"),
    [
        (RECORDED, RECORDED_S),
        ("Monday, 23-Nov-26 11:51:27 GMT", RECORDED_S),
        ("Mon Nov 23 11:51:27 2026", RECORDED_S),
        ("Mon, 23 Nov 2026 11:51:27", RECORDED_S),
        ("Mon, 23 Nov 2026 11:51:27 -0000", RECORDED_S),
        ("Mon, 23 Nov 2026 19:51:27 +0800", RECORDED_S),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_date_means_the_same_wherever_the_gateway_lives(
    date: str, theirs: float, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three forms of RFC 9110 §5.6.7; without a zone it is UTC, never the local one."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert skew(date, RECORDED_S) == theirs + 0.5 - RECORDED_S
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "date",
    [
        None,
        "",
        " ",
        "now",
        "1795434687",
        "Mon, 31 Feb 2026 11:51:27 GMT",
        "Mon, 23 Nov 2026 11:51:60 GMT",
        "Mon, 23 Nov 99999 11:51:27 GMT",
        "Mon, 23 Nov 2026 11:51:27 +9999",
        "\udcff",
    ],
)
def test_an_unusable_date_says_nothing(date: str | None) -> None:
    assert skew(date, NOW) is None


@given(st.text(max_size=40) | st.text("MonNv0123456789:, +-GMT", max_size=40))
@example("Mon, 01 Jan 0001 00:00:00 +2359")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
def test_no_date_at_all_makes_the_reader_raise(date: str) -> None:
    assert isinstance(skew(date, NOW), float | None)


@given(st.floats(1e9, 4e9), st.floats(-1e5, 1e5))
def test_the_skew_is_right_to_within_the_precision_of_the_field(ours: float, ahead_s: float) -> None:
    """`Date` is cut to whole seconds, so the middle of the second is the best guess."""
    seen = skew(formatdate(floor(ours + ahead_s), usegmt=True), ours)
    assert seen is not None
    assert abs(seen - ahead_s) <= DATE_PRECISION_S / 2 + 1e-5


@pytest.mark.parametrize(
    ("kind", "code", "ttl_s"),
    [
        (RefusalKind.NOT_FOUND, 40016, 5.0),
        (RefusalKind.NOT_FOUND, 40077, 5.0),
        (RefusalKind.NOT_FOUND, 404, 5.0),
        (RefusalKind.NOT_FOUND, -1, 0.0),
        (RefusalKind.NOT_FOUND, 0, 0.0),
        (RefusalKind.BAD_REQUEST, 40001, 5.0),
        (RefusalKind.UNAUTHENTICATED, 401, 2.0),
        (RefusalKind.FORBIDDEN, 403, 2.0),
        (RefusalKind.FORBIDDEN, 40069, 2.0),
        (RefusalKind.PAYMENT_REQUIRED, 40083, 2.0),
        (RefusalKind.UNKNOWN, 50001, 0.0),
        (RefusalKind.UNKNOWN, 40072, 0.0),
    ],
)
def test_a_refusal_is_kept_for_seconds_and_only_where_it_would_be_repeated(
    kind: RefusalKind, code: int, ttl_s: float
) -> None:
    """A failed generation (-1) and what nobody can explain may be gone at the next try."""
    assert refusal_ttl_s(Refusal(kind, code), not_found_s=5.0, denied_s=2.0) == ttl_s


@pytest.mark.parametrize("kind", RefusalKind)
def test_every_kind_of_refusal_has_an_answer(kind: RefusalKind) -> None:
    assert refusal_ttl_s(Refusal(kind, 1), not_found_s=0.0, denied_s=0.0) == 0.0


@pytest.mark.parametrize(
    ("attempt", "shortest_s", "longest_s"),
    [(0, 0.05, 0.1), (1, 0.1, 0.2), (2, 0.2, 0.4), (3, 0.4, 0.8), (4, 0.5, 1.0), (5, 0.5, 1.0), (10**9, 0.5, 1.0)],
)
def test_the_wait_doubles_up_to_a_second_and_half_of_it_is_random(
    attempt: int, shortest_s: float, longest_s: float
) -> None:
    """So that those who collided once do not collide again at the next try."""
    assert backoff_s(attempt, 0.0) == pytest.approx(shortest_s)
    assert backoff_s(attempt, 1.0) == pytest.approx(longest_s)


@given(st.integers(0, 10**6), st.floats(0, 1, exclude_max=True))
def test_the_wait_is_never_nothing_and_never_more_than_a_second(attempt: int, jitter: float) -> None:
    """Neither hammering nor sleeping through the deadline."""
    assert 0.05 <= backoff_s(attempt, jitter) <= 1.0
