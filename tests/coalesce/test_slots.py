"""Slots: slow work gives its slot to others, and neither a client nor a group takes what others need."""

from __future__ import annotations

import asyncio

import pytest

from proxy.coalesce import slots
from proxy.coalesce.slots import Slots, Work

ONE, OTHER = "192.0.2.1", "192.0.2.2"


@pytest.fixture(autouse=True)
def at_once_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let work be slow as soon as the loop turns."""
    monkeypatch.setattr(slots, "SLOW_S", 0.0)


@pytest.fixture
def freed() -> list[None]:
    """Give the list of times at which slots became free."""
    return []


async def become_slow() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def begin(kept: Slots, times: int, client: str = ONE, group: str = "a") -> list[Work]:
    return [kept.begin(client, group) for _ in range(times) if kept.may_begin(client, group)]


async def test_slow_work_gives_its_slot_back_once(freed: list[None]) -> None:
    kept = Slots(2, 10, lambda: freed.append(None))
    works = [*begin(kept, 1, ONE), *begin(kept, 1, OTHER)]
    assert not kept.are_free
    await become_slow()
    assert kept.are_free
    assert len(freed) == 2
    for work in works:
        kept.end(work)
    assert len(begin(kept, 3, ONE, "")) == 2


async def test_without_places_for_slow_work_a_slot_is_kept(freed: list[None]) -> None:
    kept = Slots(2, 0, lambda: freed.append(None))
    begin(kept, 2, ONE, "")
    await become_slow()
    assert not kept.are_free


async def test_a_group_has_no_more_at_work_than_there_are_slots() -> None:
    """Slow or not; another group has all the slots that are free."""
    kept = Slots(4, 100, lambda: None)
    works = begin(kept, 4)
    await become_slow()
    assert begin(kept, 4) == []
    assert len(begin(kept, 4, OTHER, "b")) == 4
    kept.end(works[0])


async def test_groups_with_slow_work_have_half_of_the_slots_together() -> None:
    kept = Slots(4, 100, lambda: None)
    for group in "abc":
        begin(kept, 1, group, group)
    await become_slow()
    begun = [work for group in "abc" for work in begin(kept, 2, group, group)]
    assert len(begun) == 2
    assert len(begin(kept, 4, OTHER, "quick")) == 2


async def test_a_client_has_half_of_the_places_for_slow_work() -> None:
    """Beyond that its slow work stays in its slots, until a place is free."""
    kept = Slots(3, 4, lambda: None)
    first = begin(kept, 2, ONE, "")
    await become_slow()
    overdue = begin(kept, 3, ONE, "")
    await become_slow()
    assert not kept.are_free
    assert [work.is_slow for work in (*first, *overdue)] == [True, True, False, False, False]
    kept.end(first[0])
    assert overdue[0].is_slow
    assert kept.are_free


async def test_work_that_ends_in_time_is_never_slow() -> None:
    kept = Slots(1, 1, lambda: None)
    kept.end(kept.begin(ONE, "a"))
    await become_slow()
    assert kept.may_begin(ONE, "a")
    assert not kept.begin(ONE, "a").is_slow
