"""Memory, the disk, Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, overload

from proxy.cache.disk_tier import DiskTier
from proxy.cache.memory_tier import MemoryTier
from proxy.cache.redis_tier import RedisTier
from proxy.cache.shared_picture import SharedPicture
from proxy.cache.stored_picture import StoredPicture
from proxy.domain.client import Client
from proxy.domain.codec import decode
from proxy.domain.entry import Entry
from proxy.domain.keys import picture_key
from proxy.domain.picture import NoVariant, Picture
from proxy.domain.picture_info import PictureInfo
from proxy.domain.source import Source
from proxy.redis.leases import Claim

A = TypeVar("A", bound=Entry)
B = TypeVar("B", bound=Entry)


KINDS = ("g", "p", "s")
"""How the keys of entries begin: grants and refusals, pictures, what was seen under sealed URLs."""


class Tier(Protocol):
    """A tier beyond memory. Trouble with it is a miss or a dropped write."""

    source: Source

    async def find(self, key: str) -> Entry | None:
        """Give the entry, or None."""

    async def keep(self, key: str, entry: Entry, ttl_s: float) -> bool:
        """Keep an entry for `ttl_s` seconds, unless that is not positive; tell whether it is."""

    async def forget(self, key: str) -> None:
        """Drop an entry."""


class Tiers:
    """Looks entries up, the nearest tier first, and keeps them in all. Without others memory serves alone."""

    def __init__(self, memory: MemoryTier, redis: RedisTier | None, disk: DiskTier | None = None) -> None:
        self._memory = memory
        self._disk = disk
        self._redis = redis
        self._farther: tuple[Tier, ...] = tuple(tier for tier in (disk, redis) if tier is not None)
        self._forgotten = 0

    @property
    def memory(self) -> MemoryTier:
        """The nearest tier; for the fast path."""
        return self._memory

    @property
    def redis(self) -> RedisTier | None:
        """The tier shared by replicas, if there is one."""
        return self._redis

    @property
    def farthest(self) -> Source:
        """Name the tier that most processes share."""
        return self._farther[-1].source if self._farther else Source.MEMORY

    @property
    def forgotten(self) -> int:
        """Count how often an entry had to be forgotten."""
        return self._forgotten

    def lookup(self, key: str) -> Entry | None:
        """Give what memory holds; for the hot path."""
        return self._memory.lookup(key)

    @overload
    async def find(
        self,
        key: str,
        expect: tuple[type[A]],
        ttl_of: Callable[[A], float],
        client: Client = ...,
        claim: Claim | None = ...,
    ) -> tuple[A, Source] | None: ...

    @overload
    async def find(
        self,
        key: str,
        expect: tuple[type[A], type[B]],
        ttl_of: Callable[[A | B], float],
        client: Client = ...,
        claim: Claim | None = ...,
    ) -> tuple[A | B, Source] | None: ...

    async def find(
        self,
        key: str,
        expect: tuple[type[Any], ...],
        ttl_of: Callable[..., float],
        client: Client = "",
        claim: Claim | None = None,
    ) -> tuple[Any, Source] | None:
        """Give an entry of one of the expected types and where it was; an entry of another type is a miss.

        What a farther tier held is kept in the nearer ones too, for as many seconds as `ttl_of` says are left of it.
        With `claim`, which is for this key, Redis is read by it.
        """
        return await self._find(key, expect, ttl_of, client, self._farther, claim)

    def stored(self, key: str) -> StoredPicture | None:
        """Give a picture that was just found on disk, to be read again without waiting."""
        return self._disk.stored(key) if self._disk is not None else None

    def shared(self, key: str, picture: Picture) -> SharedPicture | None:
        """Give a picture that was just found in Redis, to be read there again; None where the disk comes before."""
        return SharedPicture(self._redis, key, picture) if self._redis is not None and self._disk is None else None

    async def find_here(
        self, key: str, expect: tuple[type[A]], ttl_of: Callable[[A], float], client: Client = ""
    ) -> tuple[A, Source] | None:
        """Give an entry that this machine holds."""
        return await self._find(key, expect, ttl_of, client, (self._disk,) if self._disk is not None else ())

    async def _find(
        self,
        key: str,
        expect: tuple[type[Any], ...],
        ttl_of: Callable[..., float],
        client: Client,
        farther: tuple[Tier, ...],
        claim: Claim | None = None,
    ) -> tuple[Any, Source] | None:
        entry = self._memory.lookup(key)
        if isinstance(entry, expect):
            return entry, Source.MEMORY
        forgotten = self._forgotten
        for tier in farther:
            entry = await (self._redis.find(key, claim) if tier is self._redis else tier.find(key))
            if not isinstance(entry, expect) or not _belongs(entry, key):
                continue
            self.promote(key, entry, ttl_of(entry), client, tier.source, forgotten=forgotten)
            return entry, tier.source
        return None

    async def find_shared(
        self, key: str, ttl_of: Callable[[Entry], float], left: bytes = b"", client: Client = ""
    ) -> Entry | None:
        """Look past memory: give what another replica has left, or what a tier holds, and keep it in nearer ones too.

        The farthest tier first: who else has loaded it will have kept it there.
        """
        forgotten, before = self._forgotten, self._memory.lookup(key)
        entry, source = decode(left) if left else None, self.farthest
        for tier in reversed(self._farther):
            if entry is None:
                entry, source = await tier.find(key), tier.source
        if entry is not None and not _belongs(entry, key):
            return None
        if entry is not None and forgotten == self._forgotten and self._memory.lookup(key) is before:
            self._promote(key, entry, ttl_of(entry), client, source)
        return entry

    def promote(self, key: str, entry: Entry, ttl_s: float, client: Client, source: Source, *, forgotten: int) -> None:
        """Keep in nearer tiers what a farther one held when so much had been forgotten.

        Meanwhile the entry may have been forgotten, or replaced by a newer one: the one that was read is too old then.
        """
        if ttl_s > 0 and forgotten == self._forgotten and self._memory.lookup(key) is None:
            self._promote(key, entry, ttl_s, client, source)

    def _promote(self, key: str, entry: Entry, ttl_s: float, client: Client, source: Source) -> None:
        """Keep an entry in the tiers that are nearer than the one that held it."""
        self._memory.keep(key, entry, ttl_s, client)
        if self._disk is not None and source is not Source.DISK:
            self._disk.keep_soon(key, entry, ttl_s)

    async def keep(self, key: str, entry: Entry, ttl_s: float, client: Client = "") -> None:
        """Keep an entry for `ttl_s` seconds: in memory at once, on disk soon, in Redis by the end."""
        self.keep_here(key, entry, ttl_s, client)
        if self._redis is not None:
            await self._redis.keep(key, entry, ttl_s)

    def keep_here(self, key: str, entry: Entry, ttl_s: float, client: Client = "") -> None:
        """Keep an entry on this machine alone: in memory at once, for the client for which it came, on disk soon."""
        self._memory.keep(key, entry, ttl_s, client)
        if self._disk is not None:
            self._disk.keep_soon(key, entry, ttl_s)

    async def forget(self, key: str) -> None:
        """Drop an entry from memory at once, from all tiers by the end."""
        self._forget_memory(key)
        for tier in self._farther:
            await tier.forget(key)
        if self._farther:
            self._forget_memory(key)  # a find may have read it from there before it was gone

    def forget_here(self, key: str) -> None:
        """Drop an entry from this machine alone; other processes find it on disk for a moment."""
        self._forget_memory(key)
        if self._disk is not None:
            self._disk.forget_soon(key)

    async def clear(self) -> None:
        """Drop all grants and pictures from all tiers; what Redis holds besides stays."""
        self._forgotten += 1
        if self._redis is not None:
            for kind in KINDS:
                await self._redis.clear(namespace=f"{self._redis.namespace}:{kind}")
        if self._disk is not None:
            await self._disk.clear()
        self._forgotten += 1  # a find may have read it from there before it was gone
        await self._memory.clear()

    def _forget_memory(self, key: str) -> None:
        self._forgotten += 1
        self._memory.forget(key)


def _belongs(entry: Entry, key: str) -> bool:
    """Tell whether this was written for this key, as far as that can be seen; a picture would be shown to others."""
    return not isinstance(entry, (Picture, NoVariant, PictureInfo)) or picture_key(entry.id) == key
