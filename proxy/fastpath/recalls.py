"""Which pictures had to be recalled from farther tiers."""

from __future__ import annotations

import math

from proxy.cache.memory_tier import MemoryTier

RECALLED = 16_384
"""So many recalled pictures are remembered at most; of the last ones at least half as many."""


class Recalls:
    """Tells which pictures come back to memory, so that those asked for seldom drive out none.

    While memory has room, a picture comes back at its second recall. Afterwards it comes back when it is recalled again
    before there have been as many recalls, and changes of memory, as memory has entries: had each recall been kept
    there, the picture would not have been driven out since. Of pictures that are all asked for as often, hardly any is
    moved for nothing; what is asked for most is in memory sooner.
    """

    def __init__(self, memory: MemoryTier) -> None:
        self._memory = memory
        self._count = 0
        """Of all recalls."""
        self._old: dict[str, int] = {}
        self._young: dict[str, int] = {}
        """The moment, in recalls and changes, when a picture was last recalled, by its key; two generations."""
        self._counted_at, self._entries = -1, 0.0
        """The memory tier's version when its entries were last counted, and their number, inf while it has room."""

    def __contains__(self, key: str) -> bool:
        """Tell whether a picture was recalled before."""
        return key in self._young or key in self._old

    def come_again(self, key: str) -> bool:
        """Take note of a recall; tell whether there was one before, and few enough since."""
        self._count += 1
        version, young = self._memory.version, self._young
        now = self._count + version
        before = young.get(key)
        if before is None:
            before = self._old.get(key)
        young[key] = now
        if len(young) >= RECALLED // 2:
            self._old, self._young = young, {}
        if self._counted_at != version:
            self._counted_at, self._entries = version, math.inf if self._memory.has_room else self._memory.count
        return before is not None and now - before <= self._entries
