"""The first tier: entries as they are, in this process, bounded by bytes and by time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from sys import getsizeof
from typing import NamedTuple

from aiocache.base import BaseCache
from aiocache.serializers import NullSerializer

from proxy.cache import DEFAULT_TTL_S
from proxy.cache.fair_cache import FairCache
from proxy.domain.client import Client
from proxy.domain.entry import Entry
from proxy.domain.grant import Grant
from proxy.domain.picture import NoVariant, Picture
from proxy.domain.picture_info import PictureInfo
from proxy.domain.refusal import Refusal

LARGEST_SHARE = 4
"""An entry larger than this fraction of the bound is not kept: it would drive out too many others."""

_SLOT_BYTES = 840
"""The cost of an entry beside its texts and bytes: places in five hash tables, the expiry heap and the objects between.
Measured on CPython 3.11 (`tests/cache/test_memory.py` measures again)."""

_LOOK_BYTES = 300
"""The most bytes that size and colours of a picture take."""


class _Slot(NamedTuple):
    entry: Entry
    ttl_s: float
    size_bytes: int


class MemoryTier(BaseCache):
    """Stores the most recently used entries, each no longer than its own time to live, within `max_bytes` in all.

    `get_nowait`, `set_nowait` and `delete_nowait` are for the hot path; aiocache's interface does the same.
    """

    NAME = "memory"

    def __init__(self, max_bytes: int, timer: Callable[[], float] = time.monotonic) -> None:
        # No timeout: aiocache's would wrap every call in a task of its own, and nothing here waits.
        super().__init__(serializer=NullSerializer(encoding=None), timeout=None, ttl=DEFAULT_TTL_S)
        self._max_bytes, self._largest_bytes = max_bytes, max_bytes // LARGEST_SHARE
        self._slots: FairCache[str, _Slot] = FairCache(
            max_bytes,
            ttu=lambda _key, slot, now: now + slot.ttl_s,
            timer=timer,
            size_of=lambda slot: slot.size_bytes,
        )
        self.version = 0
        """As long as this is the same, no entry has been replaced, deleted or evicted: only time may end one."""
        self.grants_version = 0
        """As long as this is the same, nothing but pictures has come, and nothing has been deleted."""

    @property
    def size_bytes(self) -> int:
        """How many bytes the entries take, as estimated."""
        return int(self._slots.size)

    @property
    def count(self) -> int:
        """How many entries there are."""
        return len(self._slots)

    @property
    def has_room(self) -> bool:
        """Tell whether more than an eighth of the bound is free: an ordinary entry drives out none."""
        return self.size_bytes * 8 < self._max_bytes * 7

    @property
    def evictions(self) -> int:
        """How many entries were given up for others."""
        return self._slots.evictions

    def __contains__(self, key: str) -> bool:
        """Tell whether there is an entry, which may have come to its end; it is not used by that."""
        return self._slots.may_hold(key)

    def get_nowait(self, key: str) -> Entry | None:
        """Give the entry, which becomes the most recently used one, or None."""
        slot = self._slots.get(key)
        return slot.entry if slot is not None else None

    def set_nowait(self, key: str, entry: Entry, ttl_s: float, client: Client = "") -> None:
        """Store an entry for `ttl_s` seconds, unless that is not positive; one too large deletes the one before.

        `client` is the client for which it came: when memory is full, that may push out others' as far as is fair.
        """
        if not ttl_s > 0:
            return
        self.version += 1
        if not isinstance(entry, Picture):
            self.grants_version += 1
        size_bytes = _size_bytes(key, entry)
        if size_bytes > self._largest_bytes:
            self.delete_nowait(key)
        else:
            self._slots.put(key, _Slot(entry, ttl_s, size_bytes), client)

    def touch(self) -> None:
        """Have everybody look again who relies on a version: what an entry rests on may have changed."""
        self.version += 1
        self.grants_version += 1

    def delete_nowait(self, key: str) -> bool:
        """Delete an entry; tell whether there was a live one."""
        self.touch()
        return self._slots.pop(key)

    async def _get(self, key: str, **_: object) -> Entry | None:
        return self.get_nowait(key)

    async def _multi_get(self, keys: Iterable[str], **_: object) -> list[Entry | None]:
        return [self.get_nowait(key) for key in keys]

    async def _set(self, key: str, value: Entry, ttl: float | None, **_: object) -> bool:
        self.set_nowait(key, value, DEFAULT_TTL_S if ttl is None else ttl)
        return True

    async def _multi_set(self, pairs: Iterable[tuple[str, Entry]], ttl: float | None, **_: object) -> bool:
        for key, value in pairs:
            await self._set(key, value, ttl)
        return True

    async def _exists(self, key: str, **_: object) -> bool:
        return key in self._slots

    async def _delete(self, key: str, **_: object) -> int:
        return int(self.delete_nowait(key))

    async def _expire(self, key: str, ttl: float, **_: object) -> bool:
        """Give an entry another `ttl` seconds; none or less drops it, since nothing here lives for ever."""
        entry = self.get_nowait(key)
        if entry is not None and ttl > 0:
            self.set_nowait(key, entry, ttl)
        elif entry is not None:
            self.delete_nowait(key)
        return entry is not None

    async def _clear(self, namespace: str | None = None, **_: object) -> bool:
        self.touch()
        for key in [key for key in self._slots if key.startswith(namespace or "")]:
            self.delete_nowait(key)
        return True


def _size_bytes(key: str, entry: Entry) -> int:
    """Estimate what an entry takes; texts that several entries share are counted with each."""
    match entry:
        case Picture():
            texts = getsizeof(entry.body) + getsizeof(entry.id) + getsizeof(entry.version)
        case Grant():
            texts = getsizeof(entry.url) + getsizeof(entry.picture) + getsizeof(entry.version)
        case Refusal():
            texts = getsizeof(entry.correlation_id) + getsizeof(entry.message)
        case NoVariant():
            texts = getsizeof(entry.id) + getsizeof(entry.version)
        case PictureInfo():
            texts = getsizeof(entry.id) + getsizeof(entry.version) + getsizeof(entry.etag) + _LOOK_BYTES
    return _SLOT_BYTES + getsizeof(key) + texts
