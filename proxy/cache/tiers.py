"""Memory, then Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from proxy.cache.memory_tier import MemoryTier
from proxy.cache.redis_tier import RedisTier
from proxy.domain.client import Client
from proxy.domain.codec import decode
from proxy.domain.keys import picture_key
from proxy.domain.model import Entry, NoVariant, Picture, Source

A = TypeVar("A", bound=Entry)
B = TypeVar("B", bound=Entry)


class Tiers:
    """Looks entries up, the nearest tier first, and keeps them in both. Without Redis memory serves alone."""

    def __init__(self, memory: MemoryTier, redis: RedisTier | None) -> None:
        self._memory = memory
        self._redis = redis
        self._forgotten = 0

    @property
    def memory(self) -> MemoryTier:
        """The nearest tier; for the hit path."""
        return self._memory

    @property
    def redis(self) -> RedisTier | None:
        """The shared tier, if there is one."""
        return self._redis

    @property
    def forgotten(self) -> int:
        """Count how often an entry had to be forgotten."""
        return self._forgotten

    def lookup(self, key: str) -> Entry | None:
        """Give what memory holds; for the hot path."""
        return self._memory.lookup(key)

    @overload
    async def find(
        self, key: str, expect: tuple[type[A]], ttl_of: Callable[[A], float], client: Client = ...
    ) -> tuple[A, Source] | None: ...

    @overload
    async def find(
        self, key: str, expect: tuple[type[A], type[B]], ttl_of: Callable[[A | B], float], client: Client = ...
    ) -> tuple[A | B, Source] | None: ...

    async def find(
        self, key: str, expect: tuple[type[Any], ...], ttl_of: Callable[..., float], client: Client = ""
    ) -> tuple[Any, Source] | None:
        """Give an entry of one of the expected types and where it was; an entry of another type is a miss.

        What Redis held is kept in memory too, for as many seconds as `ttl_of` says are left of it.
        """
        entry = self._memory.lookup(key)
        if isinstance(entry, expect):
            return entry, Source.MEMORY
        if self._redis is None:
            return None
        forgotten = self._forgotten
        entry = await self._redis.find(key)
        if not isinstance(entry, expect) or not _belongs(entry, key):
            return None
        # Meanwhile the entry may have been forgotten, or replaced by a newer one: what was read then is too old.
        ttl_s = ttl_of(entry)
        if ttl_s > 0 and forgotten == self._forgotten and self._memory.lookup(key) is None:
            self._memory.keep(key, entry, ttl_s, client)
        return entry, Source.REDIS

    async def find_shared(
        self, key: str, ttl_of: Callable[[Entry], float], left: bytes = b"", client: Client = ""
    ) -> Entry | None:
        """Look past memory: give what another replica has left, or what Redis holds, and keep it in memory too."""
        forgotten, before = self._forgotten, self._memory.lookup(key)
        entry = decode(left) if left else None
        if entry is None and self._redis is not None:
            entry = await self._redis.find(key)
        if entry is not None and not _belongs(entry, key):
            return None
        if entry is not None and forgotten == self._forgotten and self._memory.lookup(key) is before:
            self._memory.keep(key, entry, ttl_of(entry), client)
        return entry

    async def keep(self, key: str, entry: Entry, ttl_s: float, client: Client = "") -> None:
        """Keep an entry for `ttl_s` seconds: in memory at once, in Redis by the end."""
        self.keep_here(key, entry, ttl_s, client)
        if self._redis is not None:
            await self._redis.keep(key, entry, ttl_s)

    def keep_here(self, key: str, entry: Entry, ttl_s: float, client: Client = "") -> None:
        """Keep an entry in memory alone, for the client for which it came."""
        self._memory.keep(key, entry, ttl_s, client)

    async def forget(self, key: str) -> None:
        """Drop an entry from memory at once, from Redis by the end."""
        self.forget_here(key)
        if self._redis is not None:
            await self._redis.forget(key)
            self.forget_here(key)  # a find may have read it from Redis before it was gone from there

    def forget_here(self, key: str) -> None:
        """Drop an entry from memory alone."""
        self._forgotten += 1
        self._memory.forget(key)


def _belongs(entry: Entry, key: str) -> bool:
    """Tell whether this was written for this key, as far as that can be seen; a picture would be shown to others."""
    return not isinstance(entry, (Picture, NoVariant)) or picture_key(entry.id) == key
