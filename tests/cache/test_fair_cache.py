"""Eviction from a full cache: nothing of others for a client that holds more than its share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from proxy.cache.fair_cache import RECENT_S, FairCache


@dataclass
class Clock:
    """Time that a test moves on."""

    now: float = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def cache_of(size: int, clock: Clock | None = None) -> FairCache[str, int]:
    """Make a cache whose values are their own sizes, and live for ten thousand seconds."""
    return FairCache(size, ttu=lambda _key, _value, now: now + 10_000.0, timer=clock or Clock(), size_of=lambda v: v)


def test_a_flood_replaces_its_own_entries() -> None:
    """However much it brings, and though it uses its own more often."""
    cache = cache_of(100)
    for number in range(10):
        cache.put(f"modest {number}", 1, "modest")
    for number in range(10_000):
        cache.put(f"greedy {number}", 1, "greedy")
        cache.get(f"greedy {number}")
    assert all(cache.get(f"modest {number}") for number in range(10))
    assert sorted(cache)[:90] == [f"greedy {number}" for number in range(9910, 10_000)]


def test_a_newcomer_gets_its_share_of_a_full_cache() -> None:
    """The entry that the others used least recently makes room."""
    cache = cache_of(100)
    for number in range(1000):
        cache.put(f"greedy {number}", 1, "greedy")
    for number in range(60):
        cache.put(f"modest {number}", 1, "modest")
    counts = Counter(key.split()[0] for key in cache)
    assert counts["modest"] >= 50


def test_unused_entries_make_room_for_any_client() -> None:
    """One busy visitor does not have to live beside what another left behind."""
    clock = Clock()
    cache = cache_of(100, clock)
    for number in range(50):
        cache.put(f"left behind {number}", 1, "gone")
    clock.now = RECENT_S
    for number in range(200):
        cache.put(f"busy {number}", 1, "busy")
    assert {key.split()[0] for key in cache} == {"busy"}


def test_sizes_count_and_not_numbers() -> None:
    cache = cache_of(100)
    for number in range(30):
        cache.put(f"small {number}", 1, "small")
    for number in range(20):
        cache.put(f"large {number}", 20, "large")
    assert [key for key in cache if key.startswith("large")] == [f"large {number}" for number in (17, 18, 19)]
    assert all(cache.get(f"small {number}") for number in range(30))


def test_an_entry_that_is_too_large_or_over_is_not_stored_and_its_predecessor_is_gone() -> None:
    """Nothing else is given up for it."""
    cache = cache_of(100)
    cache.put("other", 50, "a")
    cache.put("same", 10, "a")
    cache.put("same", 101, "a")
    assert (list(cache), cache.size) == (["other"], 50)


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "get", "pop", "wait"]),
        st.integers(0, 12),
        st.integers(1, 60),
        st.sampled_from("abc"),
    ),
    max_size=80,
)


@given(ACTS)
def test_in_every_order_it_stays_within_its_size_and_gives_what_was_put(
    acts: list[tuple[str, int, int, str]],
) -> None:
    """And keeps account of what it holds, no more and no less."""
    clock = Clock()
    cache: FairCache[int, int] = FairCache(
        100, ttu=lambda key, _value, now: now + 10.0 * key, timer=clock, size_of=lambda value: value
    )
    put: dict[int, int] = {}
    for act, key, size, client in acts:
        if act == "put":
            cache.put(key, size, client)
            put[key] = size
        elif act == "pop":
            cache.pop(key)
            put.pop(key, None)
        elif act == "get":
            assert cache.get(key) in (None, put.get(key))
        else:
            clock.now += size
        assert cache.size == sum(put[key] for key in cache) <= 100
    eviction = vars(cache)["_eviction"]
    cache.put(0, 1, "a")  # over already: what has ended goes with it
    assert set(vars(eviction)["_held"]) == set(cache)
    assert eviction.total == cache.size
