"""The memory tier: bounded by bytes, and honest about them. What holds for every tier is in the contract."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.memory_tier import MemoryTier
from proxy.domain.entry import Entry
from proxy.domain.grant import Grant
from proxy.domain.picture import Picture
from proxy.domain.refusal import Refusal, RefusalKind
from tests.cache.conftest import Clock

MIB = 1024 * 1024


def picture(n: int, size: int = 20_000) -> Picture:
    """Make a picture with bytes of its own."""
    return Picture(f"{n:040x}", "image/png", f'"v{n}"', os.urandom(size))


def grant(n: int) -> Grant:
    sign = "LbPjHdVtXcVUBCsHxfLzDqVlOJiEw6iYyvAG6SLgKqE=:1795000000"
    url = f"https://cloud.example.com/api/v4/file/content/PLXh/0/sunset{n}.jpg?sign={sign}"
    return Grant(url, 1795000000.5 + n, f"{n:040x}", own=True)


def refusal(n: int) -> Refusal:
    """Make a refusal as Cloudreve gives it."""
    return Refusal(RefusalKind.NOT_FOUND, 40016, f"{n:036x}")


def fill(tier: MemoryTier, make: Callable[[int], Entry], count: int) -> None:
    """Keep entries under keys as long as real ones."""
    for n in range(count):
        tier.set_nowait(f"k:{n:040x}", make(n), 1000.0 + n % 7)


@pytest.mark.parametrize(
    ("make", "count", "within"), [(picture, 500, 0.1), (grant, 8_000, 0.2), (refusal, 10_000, 0.2)]
)
def test_the_bound_is_what_the_entries_really_take(
    make: Callable[[int], Entry], count: int, within: float, clock: Clock
) -> None:
    """Filled to the brim and beyond, as counted by the interpreter itself; for 20 kB pictures within a tenth."""
    bound = 4 * MIB
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tier = MemoryTier(bound, timer=clock)
        fill(tier, make, count)
        gc.collect()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.95 * bound < tier.size_bytes <= bound
    assert abs(taken - bound) < within * bound


def test_keeping_the_same_keys_again_and_again_takes_no_more(clock: Clock) -> None:
    tier = MemoryTier(8 * MIB, timer=clock)
    fill(tier, grant, 2_000)
    size = tier.size_bytes
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(10):
            fill(tier, grant, 2_000)
            clock.now += 60.0
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 1.5 * size
    finally:
        tracemalloc.stop()
    assert tier.size_bytes == size


def test_the_least_recently_used_goes_first() -> None:
    tier = MemoryTier(100_000)
    for n in range(4):
        tier.set_nowait(f"k:{n}", picture(n), 60.0)
    assert tier.get_nowait("k:0") is not None
    tier.set_nowait("k:4", picture(4), 60.0)
    assert [n for n in range(5) if tier.get_nowait(f"k:{n}")] == [0, 2, 3, 4]


def test_expired_entries_are_evicted_before_live_ones(clock: Clock) -> None:
    tier = MemoryTier(100_000, timer=clock)
    for n in range(4):
        tier.set_nowait(f"k:{n}", picture(n), 60.0 if n < 3 else 5.0)
    clock.now += 10.0
    tier.set_nowait("k:4", picture(4), 60.0)
    assert [n for n in range(5) if tier.get_nowait(f"k:{n}")] == [0, 1, 2, 4]


def test_an_entry_larger_than_a_quarter_of_the_bound_is_not_kept() -> None:
    """It would drive out too many; what it was to replace is dropped all the same."""
    tier = MemoryTier(100_000)
    tier.set_nowait("k:0", picture(0), 60.0)
    tier.set_nowait("k:1", picture(1), 60.0)
    tier.set_nowait("k:1", picture(1, 25_001), 60.0)
    assert tier.get_nowait("k:1") is None
    assert tier.get_nowait("k:0") == tier.get_nowait("k:0") is not None
    tier.set_nowait("k:2", picture(2, 23_000), 60.0)
    assert tier.get_nowait("k:2") is not None


def test_a_tier_without_room_keeps_nothing() -> None:
    tier = MemoryTier(1)
    tier.set_nowait("k:0", refusal(0), 60.0)
    assert tier.get_nowait("k:0") is None
    assert tier.size_bytes == 0


def test_looking_gives_the_very_object() -> None:
    """Nothing is written to bytes and read again on the hot path."""
    tier, kept = MemoryTier(MIB), picture(0)
    tier.set_nowait("k:0", kept, 60.0)
    assert tier.get_nowait("k:0") is kept


def test_forgetting_gives_the_bytes_back() -> None:
    tier = MemoryTier(MIB)
    tier.set_nowait("k:0", picture(0), 60.0)
    assert tier.size_bytes > 20_000
    assert tier.delete_nowait("k:0")
    assert not tier.delete_nowait("k:0")
    assert tier.size_bytes == 0


def test_an_entry_ends_at_its_second(clock: Clock) -> None:
    """Its successor lives by its own time, not by what was left."""
    tier = MemoryTier(MIB, timer=clock)
    tier.set_nowait("k:0", grant(0), 60.0)
    clock.now += 59.999
    assert tier.get_nowait("k:0") is not None
    tier.set_nowait("k:0", grant(1), 10.0)
    clock.now += 9.999
    assert tier.get_nowait("k:0") == grant(1)
    clock.now += 0.001
    assert tier.get_nowait("k:0") is None


async def test_clearing_a_prefix_leaves_the_others() -> None:
    tier = MemoryTier(MIB)
    tier.set_nowait("a:0", grant(0), 60.0)
    tier.set_nowait("b:0", grant(0), 60.0)
    await tier.clear(namespace="a:")
    assert tier.get_nowait("a:0") is None
    assert tier.get_nowait("b:0") is not None


steps = st.lists(
    st.tuples(st.sampled_from("klpf"), st.integers(0, 7), st.integers(0, 6_000), st.floats(0, 20)), max_size=80
)


@given(steps)
def test_after_any_operations_the_bound_holds_and_only_stored_entries_are_found(
    work: list[tuple[str, int, int, float]],
) -> None:
    """Keep, look up, let time pass, forget, in any order: an entry is found unchanged and alive, or not at all."""
    clock = Clock()
    tier, kept = MemoryTier(20_000, timer=clock), dict[str, tuple[Entry, float]]()
    for verb, n, size, seconds in work:
        key = f"k:{n}"
        if verb == "k" and seconds > 0:
            kept[key] = picture(n, size), clock.now + seconds
            tier.set_nowait(key, kept[key][0], seconds)
        elif verb == "p":
            clock.now += seconds
        elif verb == "f":
            tier.delete_nowait(key)
            kept.pop(key, None)
        found = tier.get_nowait(key)
        assert found is None or (found is kept[key][0] and clock.now < kept[key][1])
        assert 0 <= tier.size_bytes <= 20_000
