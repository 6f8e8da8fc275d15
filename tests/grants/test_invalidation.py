"""Grants that a change ends: told here, told elsewhere, begun and not ended, missed."""

from __future__ import annotations

import math

import pytest

from proxy.domain.grant import Grant
from proxy.domain.grant_stamp import UNSTAMPED, GrantStamp
from proxy.domain.identity import ANONYMOUS
from proxy.domain.session import SessionRef
from proxy.domain.tags import EVERYTHING, picture_tag, share_tag, user_tag
from proxy.grants import invalidation
from proxy.grants.invalidation import Invalidations
from proxy.grants.marks import MAX_CONFIRMING, Confirmed
from proxy.grants.validity import Decision, is_valid

ALICE, BOB = user_tag("alice"), user_tag("bob")
TAGS = (EVERYTHING, ALICE)
OTHER = b"elsewhere"


@pytest.fixture
def known() -> Invalidations:
    """Give what a process knows that follows a log, and has read it up to position 10."""
    made = Invalidations(lambda: 1000.0, log="log")
    made.begin_log(5, has_gap=False)
    made.read_to(10)
    return made


def own(known: Invalidations, number: int = 1) -> tuple[bytes, int]:
    return known.origin, number


def elsewhere(position: int, log: str = "log") -> GrantStamp:
    """Give the stamp of a grant that another process has asked for."""
    return GrantStamp(OTHER, 3, log, position)


def test_a_grant_from_before_a_change_has_ended(known: Invalidations) -> None:
    """What is asked for afterwards counts; so does what rests on something else."""
    before = known.stamp
    known.end(own(known), [ALICE])
    assert known.has_ended(before, TAGS)
    assert not known.has_ended(known.stamp, TAGS)
    assert not known.has_ended(before, [EVERYTHING, BOB])


def test_a_change_that_is_not_in_the_log_ends_all_that_others_asked_for(known: Invalidations) -> None:
    """Nobody can tell what came first; once it has a place there, its place tells."""
    assert not known.has_ended(elsewhere(10), TAGS)
    known.end(own(known), [ALICE])
    assert known.has_ended(elsewhere(10), TAGS)
    assert not known.has_ended(elsewhere(10), [BOB])
    known.confirm(1, [ALICE], 12)
    known.read_to(13)
    assert known.has_ended(elsewhere(11), TAGS)
    assert not known.has_ended(elsewhere(12), TAGS)


def test_of_two_changes_each_needs_its_place_in_the_log(known: Invalidations) -> None:
    known.end(own(known, 1), [ALICE])
    known.end(own(known, 2), [ALICE])
    known.confirm(1, [ALICE], 11)
    known.read_to(13)
    assert known.has_ended(elsewhere(12), TAGS)
    known.confirm(2, [ALICE], 12)
    assert not known.has_ended(elsewhere(12), TAGS)


def test_a_change_leaves_alone_what_was_confirmed_since(known: Invalidations) -> None:
    """A grant of that place that names that picture; of this process and of others. All other grants end."""
    before, place, other = known.stamp, share_tag("one"), share_tag("two")
    old, new = picture_tag("old"), picture_tag("new")
    known.end(own(known), [ALICE], confirmed=frozenset({(place, new)}))
    for stamp in (before, elsewhere(10)):
        assert not known.has_ended(stamp, [ALICE, place, new])
        assert known.has_ended(stamp, [ALICE, place, old])
        assert known.has_ended(stamp, [ALICE, other, new])
        assert known.has_ended(stamp, TAGS)
    known.confirm(1, [ALICE], 12)
    known.read_to(13)
    assert known.has_ended(elsewhere(11), [ALICE, place, old])
    assert not known.has_ended(elsewhere(12), [ALICE, place, old])


@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
def test_what_was_confirmed_for_one_change_says_nothing_about_another(known: Invalidations, *, is_first: bool) -> None:
    """In whichever order they are told: one without confirmation, and one of another file with the same tag."""
    before, place, picture = known.stamp, share_tag("one"), picture_tag("one")
    confirmed = frozenset({(place, picture)})
    others: list[Confirmed] = [frozenset(), frozenset({(share_tag("two"), picture_tag("two"))})]
    for another in others:
        for each in (confirmed, another) if is_first else (another, confirmed):
            known.end(own(known), [ALICE], confirmed=each)
        assert known.has_ended(before, [ALICE, place, picture])


def test_more_confirmed_changes_than_are_told_apart_end_all(known: Invalidations) -> None:
    places = [(share_tag(f"{number}"), picture_tag("p")) for number in range(MAX_CONFIRMING + 1)]
    for number, pair in enumerate(places[:-1]):
        known.end(own(known, number), [ALICE], confirmed=frozenset({pair}))
    before = known.stamp
    known.end(own(known, 99), [ALICE], confirmed=frozenset(places[-1:]))
    assert known.has_ended(before, [ALICE, *places[-1]])


def test_of_two_changes_of_one_tag_the_later_ends_grants(known: Invalidations) -> None:
    """Also when the earlier is the one that had to wait for the log."""
    known.end(own(known, 1), [ALICE])
    known.end((OTHER, 7), [ALICE], 11)
    known.read_to(12)
    assert known.has_ended(elsewhere(12), TAGS)
    known.confirm(1, [ALICE], 13)
    known.read_to(14)
    assert known.has_ended(elsewhere(12), TAGS)
    assert not known.has_ended(elsewhere(13), TAGS)


def test_a_change_of_another_process_ends_what_this_one_asked_for_before_it_heard_of_it(known: Invalidations) -> None:
    before = known.stamp
    known.end((OTHER, 7), [ALICE], 11)
    assert known.has_ended(before, TAGS)
    assert not known.has_ended(known.stamp, TAGS)


def test_while_a_change_is_under_way_nothing_that_is_kept_counts(known: Invalidations) -> None:
    """Neither what was asked for before, nor what was asked for meanwhile; nor when one of two has ended."""
    for number in (1, 2):
        known.begin((OTHER, number), [ALICE], 60.0)
    assert known.has_ended(known.stamp, TAGS)
    assert not known.has_ended(known.stamp, [BOB])
    meanwhile = known.stamp
    known.end((OTHER, 1), [ALICE], 11)
    assert known.has_ended(known.stamp, TAGS)
    known.end((OTHER, 2), [ALICE], 12)
    assert known.has_ended(meanwhile, TAGS)
    assert not known.has_ended(known.stamp, TAGS)


def test_a_change_that_nobody_ends_is_due_at_its_time(known: Invalidations) -> None:
    known.begin((OTHER, 1), [ALICE], 60.0)
    known.begin((OTHER, 1), [ALICE], 90.0)
    assert known.expire(60.0) == []
    assert known.expire(90.0) == [((OTHER, 1), (ALICE,))]


@pytest.mark.parametrize("stamp", [UNSTAMPED, elsewhere(4), elsewhere(11), elsewhere(10, "another log")])
def test_grants_from_before_the_log_begins_do_not_count(known: Invalidations, stamp: GrantStamp) -> None:
    """It is older than the log, from another log, or says that it knows what has not come yet."""
    assert known.has_ended(stamp, TAGS)


def test_a_stamp_of_ours_from_the_future_is_a_forgery(known: Invalidations) -> None:
    """Others can read the name of this process in the log."""
    assert known.has_ended(GrantStamp(known.origin, known.stamp.heard + 1, "log", 10), TAGS)


def test_until_the_log_has_been_read_only_what_this_process_asked_for_counts() -> None:
    known = Invalidations(lambda: 1000.0, log="log")
    assert known.has_ended(elsewhere(0), TAGS)
    assert not known.has_ended(known.stamp, TAGS)


def test_a_gap_ends_all_from_before(known: Invalidations) -> None:
    before = known.stamp
    known.begin_log(50, has_gap=True)
    assert known.has_ended(before, TAGS)
    assert known.has_ended(elsewhere(49), TAGS)
    assert not known.has_ended(known.stamp, TAGS)
    assert not known.has_ended(elsewhere(50), TAGS)


def test_without_a_log_what_others_asked_for_counts_until_something_changes_here() -> None:
    """A process with nothing but the key of sealed URLs opens those of all others."""
    known = Invalidations(lambda: 1000.0)
    assert not known.has_ended(elsewhere(10), TAGS)
    known.end(own(known), [ALICE])
    assert known.has_ended(elsewhere(10), TAGS)


def test_too_many_changes_end_what_is_older_than_the_oldest_that_is_known(
    known: Invalidations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forgetting a change must not bring back what it has ended."""
    monkeypatch.setattr(invalidation, "MAX_MARKS", 10)
    before = known.stamp
    for number in range(20):
        known.end((OTHER, number), [picture_tag(str(number))], 11 + number)
    assert known.has_ended(before, [picture_tag("0")])
    assert known.has_ended(elsewhere(11), [BOB])
    assert not known.has_ended(known.stamp, [picture_tag("0")])


def test_changes_older_than_any_grant_are_dropped() -> None:
    """And costs nothing else."""
    now = [1000.0]
    known = Invalidations(lambda: now[0], lasts_s=100.0)
    known.end(own(known, 1), [ALICE])
    stamp = known.stamp
    now[0] += 101.0
    known.end(own(known, 2), [BOB])
    assert not known.has_ended(stamp, TAGS)


def test_each_change_calls_changed() -> None:
    calls: list[int] = []
    known = Invalidations(lambda: 1000.0, log="log", changed=lambda: calls.append(1))
    known.begin((OTHER, 1), [ALICE], 60.0)
    known.end((OTHER, 1), [ALICE], 11)
    known.begin_log(50, has_gap=True)
    assert len(calls) == 3


def test_a_decision_is_valid_until_its_time_its_change_or_its_session_s_end(known: Invalidations) -> None:
    ended: set[SessionRef] = set()
    session = SessionRef("alice", "s", 1.0)
    known = Invalidations(lambda: 1000.0, session_has_ended=ended.__contains__)
    grant = Grant("u", 2000.0, "p", own=True, stamp=known.stamp)
    decision = Decision(ANONYMOUS, grant, 2000.0, (share_tag("AEUa"),), session)
    assert is_valid(decision, 1999.9, known)
    assert not is_valid(decision, 2000.0, known)
    ended.add(session)
    assert not is_valid(decision, 1000.0, known)
    ended.clear()
    known.end(own(known), [share_tag("AEUa")])
    assert not is_valid(decision, 1000.0, known)
    assert known.ended_at(grant.stamp, decision.tags) == 1000.0
    assert known.ended_at(known.stamp, decision.tags) is None
    assert known.ended_at(GrantStamp(known.origin, 9), ()) == -math.inf
