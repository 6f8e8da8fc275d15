"""Pictures asked for most come to memory, and those asked for seldom drive out none."""

from __future__ import annotations

import pytest

from proxy.cache.memory_tier import MemoryTier
from proxy.domain.picture import Picture
from proxy.fastpath import recalls
from proxy.fastpath.recalls import Recalls

HELD = 10


@pytest.fixture
def memory() -> MemoryTier:
    """Build one that holds so many pictures, and is full."""
    memory = MemoryTier(HELD * 10_999)
    fill(memory)
    return memory


def fill(memory: MemoryTier) -> None:
    """Put in more than it holds."""
    for number in range(2 * HELD):
        memory.set_nowait(f"p:{number}", Picture("ab12", "image/png", '"1"', bytes(9_000)), 1000.0)
    assert memory.count == HELD


def test_while_memory_has_room_a_picture_comes_back_at_its_second_recall() -> None:
    """As after a restart, when Redis has all and memory nothing."""
    known = Recalls(MemoryTier(1_000_000))
    for number in range(100):
        assert not known.come_again(f"{number}")
    assert all(known.come_again(f"{number}") for number in range(100))


@pytest.mark.parametrize(("others", "is_again"), [(0, True), (HELD - 1, True), (HELD, False)])
def test_a_picture_comes_again_before_as_many_others_as_memory_holds(
    memory: MemoryTier, others: int, is_again: bool
) -> None:
    """None of these is kept, so that memory alone does not tell."""
    known = Recalls(memory)
    assert not known.come_again("one")
    for number in range(others):
        assert not known.come_again(f"other {number}")
    assert known.come_again("one") is is_again


def test_of_pictures_that_are_asked_for_as_often_none_comes_again(memory: MemoryTier) -> None:
    """There are more than memory holds: each would drive out another that is asked for before it."""
    known = Recalls(memory)
    assert not any(known.come_again(f"{number}") for _ in range(3) for number in range(HELD + 1))


def test_a_picture_that_was_recalled_long_ago_is_forgotten(memory: MemoryTier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were recalled since are known, within a bound."""
    monkeypatch.setattr(recalls, "RECALLED", 8)
    known = Recalls(memory)
    for number in range(100):
        known.come_again(f"{number}")
    kept = [number for number in range(100) if f"{number}" in known]
    assert kept == [*range(100 - len(kept), 100)]
    assert 8 // 2 <= len(kept) <= 8


def test_a_picture_comes_again_although_the_table_has_been_renewed_since(
    memory: MemoryTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has two generations, of which the older is looked at too."""
    monkeypatch.setattr(recalls, "RECALLED", 8)
    known = Recalls(memory)
    for name in ("one", "two", "three", "four", "five"):
        assert not known.come_again(name)
    assert known.come_again("one")


def test_once_memory_is_full_what_is_asked_for_seldom_comes_no_more() -> None:
    memory = MemoryTier(HELD * 10_999)
    known = Recalls(memory)
    known.come_again("one")
    fill(memory)
    assert not known.come_again("one")
