"""Ended sessions: what is remembered of a user is bounded, and merging in any order comes to the same."""

from __future__ import annotations

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sessions.ended_sessions import (
    FUTURE_S,
    MAX_SESSIONS,
    NOBODY,
    SLACK_S,
    EndedOfUser,
    EndedSession,
    StoredSignOuts,
    decode,
    encode,
    merged,
    plausible,
)

EARLY = 1_000_000.0
LATE = EARLY + 3600


def one(number: float) -> EndedOfUser:
    """Give the end of one session; the number says when it began."""
    return EndedOfUser((EndedSession(EARLY + number, f"s{number}", LATE + number),))


@given(st.lists(st.integers(0, 60), min_size=1, max_size=60), st.randoms())
def test_the_order_in_which_sign_outs_are_merged_changes_nothing(numbers: list[int], chance: object) -> None:
    ended = [one(number) for number in numbers]
    forwards = reduce(EndedOfUser.merged, ended, NOBODY)
    chance.shuffle(ended)  # type: ignore[attr-defined]
    halves = [reduce(EndedOfUser.merged, half, NOBODY) for half in (ended[::2], ended[1::2])]
    assert halves[0].merged(halves[1]) == halves[1].merged(halves[0]) == forwards == forwards.merged(forwards)
    assert all(forwards.includes(f"s{number}", EARLY + number) for number in numbers)
    assert len(forwards.sessions) <= MAX_SESSIONS


def test_a_user_with_few_ended_sessions_keeps_the_others() -> None:
    ended = reduce(EndedOfUser.merged, map(one, range(1, MAX_SESSIONS + 1)), NOBODY)
    assert not ended.includes("live", EARLY)
    assert not ended.includes("live", LATE)


def test_of_many_ended_sessions_the_older_ones_cost_one_time() -> None:
    ended = reduce(EndedOfUser.merged, map(one, range(1000)), NOBODY)
    assert len(ended.sessions) == MAX_SESSIONS
    assert ended.before == EARLY + 999 - MAX_SESSIONS
    assert not ended.includes("live", EARLY + 1000)


def test_nothing_is_remembered_for_longer_than_a_cookie_could_be_good() -> None:
    ended = reduce(EndedOfUser.merged, map(one, range(MAX_SESSIONS + 5)), NOBODY)
    assert ended.pruned(LATE) == ended
    assert merged({"u": ended}, {}, LATE + MAX_SESSIONS + 5 + SLACK_S) == {}


def test_other_users_are_never_pushed_out() -> None:
    users = reduce(
        lambda known, number: known | {f"u{number % 50}": known.get(f"u{number % 50}", NOBODY).merged(one(number))},
        range(2000),
        {"alice": one(1)},
    )
    assert users["alice"] == one(1)
    assert merged(users, {"bob": one(7)}, LATE)["alice"] == one(1)


KEPT = StoredSignOuts({"u": one(1).merged(one(2))}, "generation", is_settled=True)


def test_sign_outs_are_read_as_they_were_written() -> None:
    assert decode(encode(KEPT)) == KEPT
    assert encode(KEPT) == encode(KEPT) != encode(KEPT._replace(is_settled=False))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage",
        encode(KEPT)[:-1],
        encode(KEPT) + b"x",
        encode(KEPT).replace(b"generation", b"Generation"),
    ],
    ids=["nothing", "garbage", "cut", "longer", "changed"],
)
def test_a_text_of_another_shape_is_no_list_of_sign_outs(raw: bytes) -> None:
    assert decode(raw) is None


@pytest.mark.parametrize("time", [float("inf"), float("-inf"), float("nan")])
def test_times_that_are_none_count_for_nothing(time: float) -> None:
    for ended in (EndedOfUser((EndedSession(time, "s", LATE),)), EndedOfUser((), time, LATE)):
        read = decode(encode(StoredSignOuts({"u": ended}, "g", is_settled=True)))
        assert read is not None
        assert read.users == {}


@pytest.mark.parametrize("ahead_s", [FUTURE_S + 1, 1e18])
def test_the_end_of_sessions_that_have_not_begun_counts_for_nothing(ahead_s: float) -> None:
    """Whoever can write to the store would otherwise sign a user out for ever; a clock that is put back is allowed."""
    forged = {
        "listed": EndedOfUser((EndedSession(EARLY + ahead_s, "s", 1e18),)),
        "before": EndedOfUser((), EARLY + ahead_s, 1e18),
    }
    true = {"a": one(0), "b": EndedOfUser((), EARLY + FUTURE_S - 1, LATE)}
    assert plausible({**forged, **true}, EARLY) == true
