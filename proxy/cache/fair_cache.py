"""A bounded cache that one client cannot empty: a client with more than a fair share of it replaces its own entries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from cachetools import TLRUCache

from proxy.domain.client import Client

K = TypeVar("K")
V = TypeVar("V")

RECENT_S = 600.0
"""An entry that has not been used for so long makes room for any client."""


@dataclass(slots=True)
class _Held:
    client: Client
    size: float
    used_at: float


class FairEviction(Generic[K]):
    """Chooses what a full cache gives up for a client: the least recently used key.

    Of all keys, as long as the client holds no more than its share: the total, divided by the number of clients. Above
    that the choice is among its own, unless another has not been used for `RECENT_S`.
    """

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._held: OrderedDict[K, _Held] = OrderedDict()
        self._keys: dict[Client, OrderedDict[K, None]] = {}
        self._sizes: dict[Client, float] = {}
        self.total = 0.0
        """The size of all that is held."""

    def __contains__(self, key: K) -> bool:
        """Tell whether a key is held."""
        return key in self._held

    def add(self, key: K, client: Client, size: float) -> None:
        """Take note of a key, which becomes the most recently used one."""
        self.discard(key)
        self._held[key] = _Held(client, size, self._timer())
        self._keys.setdefault(client, OrderedDict())[key] = None
        self._sizes[client] = self._sizes.get(client, 0.0) + size
        self.total += size

    def touch(self, key: K) -> None:
        """Make a key that is held the most recently used one."""
        held = self._held[key]
        held.used_at = self._timer()
        self._held.move_to_end(key)
        self._keys[held.client].move_to_end(key)

    def discard(self, key: K) -> None:
        """Forget a key."""
        held = self._held.pop(key, None)
        if held is None:
            return
        self.total -= held.size
        self._sizes[held.client] -= held.size
        keys = self._keys[held.client]
        del keys[key]
        if not keys:
            del self._keys[held.client], self._sizes[held.client]

    def clear(self) -> None:
        """Forget all keys."""
        self._held.clear()
        self._keys.clear()
        self._sizes.clear()
        self.total = 0.0

    def victim(self, client: Client) -> K:
        """Give the key to drop before another of this client's is added."""
        oldest, held = next(iter(self._held.items()))
        is_above = self._sizes.get(client, 0.0) * len(self._keys) > self.total
        if is_above and self._timer() - held.used_at < RECENT_S:
            return next(iter(self._keys[client]))
        return oldest


class FairCache(Generic[K, V]):
    """Values by key, each until a time of its own, within `max_size` in all; a full cache gives up fairly."""

    def __init__(
        self,
        max_size: float,
        ttu: Callable[[K, V, float], float],
        timer: Callable[[], float],
        size_of: Callable[[V], float] = lambda _: 1,
    ) -> None:
        self._max_size = max_size
        self._size_of = size_of
        self._values: TLRUCache[K, V] = TLRUCache(max_size, ttu=ttu, timer=timer, getsizeof=size_of)
        self._eviction: FairEviction[K] = FairEviction(timer)
        self.evictions = 0
        """How many values were given up for others."""

    @property
    def size(self) -> float:
        """The size of all values."""
        self._expire()
        return float(self._values.currsize)

    def __len__(self) -> int:
        """Count the values."""
        self._expire()
        return len(self._values)

    def __contains__(self, key: K) -> bool:
        """Tell whether there is a value; it is not used by that."""
        return key in self._values

    def may_hold(self, key: K) -> bool:
        """Tell whether there is a value, or was one until its end; faster."""
        return key in self._eviction

    def __iter__(self) -> Iterator[K]:
        """Give the keys."""
        return iter(self._values)

    def get(self, key: K) -> V | None:
        """Give a value, which becomes the most recently used one, or None."""
        try:
            value = self._values[key]
        except KeyError:
            return None
        self._eviction.touch(key)
        return value

    def put(self, key: K, value: V, client: Client = "") -> None:
        """Keep a value for a client; one that is too large for the whole cache, or over already, is not kept."""
        size = self._size_of(value)
        with self._values.timer:  # one moment for all that follows
            self.pop(key)
            self._expire()
            if size > self._max_size:
                return
            while self._values.currsize + size > self._max_size:
                self.pop(self._eviction.victim(client))
                self.evictions += 1
            self._values[key] = value
            if key in self._values:
                self._eviction.add(key, client, size)

    def pop(self, key: K) -> bool:
        """Drop a value; tell whether there was a live one."""
        self._eviction.discard(key)
        try:
            del self._values[key]
        except KeyError:
            return False
        return True

    def _expire(self) -> None:
        """Drop what is over; the library does so too whenever it counts, but tells nobody."""
        for key, _ in self._values.expire():
            self._eviction.discard(key)
