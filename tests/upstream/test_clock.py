"""The clock: Cloudreve's time, learnt from its answers, without jumping about."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.clock import Clock

START = 1795434687.0


class Ours:
    """A clock of our own that a test moves."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def date(seconds: float) -> str:
    """Write a moment as Cloudreve would: the fraction is cut off."""
    return formatdate(int(seconds), usegmt=True)


def test_until_cloudreve_has_answered_its_clock_is_taken_for_ours() -> None:
    clock = Clock(Ours())
    assert (clock.is_set, clock.skew_s, clock.now()) == (False, 0.0, START)


@pytest.mark.parametrize("ahead_s", [-1200.0, -2.0, 0.0, 0.5, 2.0, 1200.0, 3e8])
def test_the_first_date_sets_the_clock(ahead_s: float) -> None:
    """However far the two are apart: everything that Cloudreve signs expires by its own."""
    clock = Clock(Ours())
    clock.observe(date(START + ahead_s))
    assert clock.is_set
    assert abs(clock.now() - (START + ahead_s)) <= 0.5


def test_a_skew_that_happens_to_be_zero_is_known_all_the_same() -> None:
    clock = Clock(Ours(START + 0.5))
    clock.observe(date(START))
    assert (clock.is_set, clock.skew_s) == (True, 0.0)


@pytest.mark.parametrize("unusable", [None, "", "yesterday", "Mon, 31 Feb 2026 11:51:27 GMT"])
def test_an_answer_without_a_usable_date_changes_nothing(unusable: str | None) -> None:
    clock = Clock(Ours())
    clock.observe(unusable)
    assert not clock.is_set
    clock.observe(date(START + 100))
    clock.observe(unusable)
    assert clock.skew_s == 100.5


@given(st.lists(st.floats(0, 5), min_size=1, max_size=20), st.floats(-1e4, 1e4))
def test_between_two_clocks_that_run_alike_time_never_goes_back(steps_s: list[float], ahead_s: float) -> None:
    """What lies within the field's precision changes nothing, so that no grant comes and goes."""
    ours = Ours()
    clock = Clock(ours)
    clock.observe(date(ours.now + ahead_s))
    for step_s in steps_s:
        before, skew_s = clock.now(), clock.skew_s
        ours.now += step_s
        clock.observe(date(ours.now + ahead_s))
        assert clock.now() >= before
        assert clock.skew_s == skew_s


@pytest.mark.parametrize("jump_s", [-3600.0, -3.0, 3.0, 3600.0])
def test_a_clock_that_is_set_anew_is_followed(jump_s: float) -> None:
    """Cloudreve's, or ours: the difference is what counts."""
    ours = Ours()
    clock = Clock(ours)
    clock.observe(date(START))
    clock.observe(date(START + jump_s))
    assert clock.skew_s == pytest.approx(jump_s + 0.5)
    ours.now += jump_s
    clock.observe(date(ours.now))
    assert clock.skew_s == pytest.approx(0.5)


def test_an_answer_that_comes_late_does_not_set_the_clock_back() -> None:
    """Else what was granted would count for longer; one that cannot be late is believed."""
    ours = Ours()
    clock = Clock(ours)
    clock.observe(date(START))
    asked_at, ours.now = ours.now, ours.now + 10
    clock.observe(date(START), asked_at)
    assert clock.skew_s == pytest.approx(0.5)
    clock.observe(date(START), ours.now - 2)
    assert clock.skew_s == pytest.approx(-9.5)
    clock.observe(date(START + 20), asked_at)
    assert clock.skew_s == pytest.approx(10.5)


def test_time_goes_on_between_answers() -> None:
    ours = Ours()
    clock = Clock(ours)
    clock.observe(date(START + 50))
    ours.now += 7
    assert clock.now() == START + 57.5


def test_a_clock_that_is_set_back_counts_on_until_cloudreve_tells_the_time() -> None:
    """Nothing counts for longer than it should; an answer without a time changes nothing about that."""
    ours, timer = Ours(), Ours(50.0)
    clock = Clock(ours, timer)
    clock.observe(date(START + 100))
    ours.now -= 3600
    timer.now += 7
    clock.observe(None)
    assert clock.now() == START + 107.5
    clock.observe(date(START + 107))
    assert clock.now() == START + 107.5
    assert clock.skew_s == 3707.5


def test_our_clock_is_the_system_s_unless_told_otherwise() -> None:
    assert time.time() <= Clock().now() <= time.time()
