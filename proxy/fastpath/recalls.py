"""Which pictures had to be recalled from farther tiers."""

from __future__ import annotations

from collections import OrderedDict

from proxy.cache.memory_tier import MemoryTier

RECALLED = 16_384
"""So many pictures are known to have been recalled."""


class Recalls:
    """Tells which pictures come back to memory, so that what is asked for seldom drives out nothing."""

    def __init__(self, memory: MemoryTier) -> None:
        self._memory = memory
        self._versions: OrderedDict[str, int] = OrderedDict()
        """The memory tier's version when a picture was last recalled, by its key."""
        self._counted_at = self._count = 0

    def __contains__(self, key: str) -> bool:
        """Tell whether a picture was recalled before."""
        return key in self._versions

    def come_again(self, key: str) -> bool:
        """Take note of a recall; tell whether there was one before, and memory has not been filled anew since."""
        version, before = self._memory.version, self._versions.pop(key, None)
        self._versions[key] = version
        if len(self._versions) > RECALLED:
            self._versions.popitem(last=False)
        if self._counted_at != version:
            self._counted_at, self._count = version, self._memory.count
        return before is not None and version - before <= self._count
