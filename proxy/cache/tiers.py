"""Memory, the disk, Redis."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar, overload

from proxy.cache.disk_tier import DiskTier
from proxy.cache.memory_tier import MemoryTier
from proxy.cache.redis_tier import RedisTier
from proxy.cache.shared_picture import SharedPicture
from proxy.cache.stored_picture import StoredPicture
from proxy.coalesce.work_sharing import Claim
from proxy.domain.client import Client
from proxy.domain.entry import Entry
from proxy.domain.keys import picture_key
from proxy.domain.picture import NoVariant, Picture
from proxy.domain.picture_info import PictureInfo
from proxy.domain.shared_write import Commit
from proxy.domain.source import Source

A = TypeVar("A", bound=Entry)
B = TypeVar("B", bound=Entry)


KINDS = ("g", "p", "s")
"""How the keys of entries begin: grants and refusals, pictures, what was seen under sealed URLs."""


class Tier(Protocol):
    """A tier beyond memory, with the verbs of aiocache. Trouble with it is a miss or a dropped write."""

    source: Source

    async def get(self, key: str) -> Entry | None:
        """Give the entry, or None."""

    async def set(self, key: str, value: Entry, ttl: float) -> bool:
        """Store an entry for `ttl` seconds, unless that is not positive; tell whether it is."""

    async def delete(self, key: str) -> int:
        """Delete an entry; tell how many there were."""


class Tiers:
    """Reads entries, the nearest tier first, and writes to all. Without others memory serves alone."""

    def __init__(self, memory: MemoryTier, redis: RedisTier | None, disk: DiskTier | None = None) -> None:
        self._memory = memory
        self._disk = disk
        self._redis = redis
        self._farther: tuple[Tier, ...] = tuple(tier for tier in (disk, redis) if tier is not None)
        self._deletions = 0

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
    def deletions(self) -> int:
        """Count how often an entry had to be deleted."""
        return self._deletions

    def get_nowait(self, key: str) -> Entry | None:
        """Give what memory holds; for the hot path."""
        return self._memory.get_nowait(key)

    @overload
    async def get(
        self,
        key: str,
        expect: tuple[type[A]],
        ttl_of: Callable[[A], float],
        client: Client = ...,
        claim: Claim | None = ...,
    ) -> tuple[A, Source] | None: ...

    @overload
    async def get(
        self,
        key: str,
        expect: tuple[type[A], type[B]],
        ttl_of: Callable[[A | B], float],
        client: Client = ...,
        claim: Claim | None = ...,
    ) -> tuple[A | B, Source] | None: ...

    async def get(
        self,
        key: str,
        expect: tuple[type[Any], ...],
        ttl_of: Callable[..., float],
        client: Client = "",
        claim: Claim | None = None,
    ) -> tuple[Any, Source] | None:
        """Give an entry of one of the expected types and where it was; an entry of another type is a miss.

        What a farther tier held is stored in the nearer ones too, for as many seconds as `ttl_of` says are left of it.
        With `claim`, which is for this key, Redis is read by it.
        """
        return await self._get(key, expect, ttl_of, client, self._farther, claim)

    def stored(self, key: str) -> StoredPicture | None:
        """Give a picture that was just found on disk, to be read again without waiting."""
        return self._disk.stored(key) if self._disk is not None else None

    def shared(self, key: str, picture: Picture) -> SharedPicture | None:
        """Give a picture that was just found in Redis, to be read there again; None where the disk comes before."""
        return SharedPicture(self._redis, key, picture) if self._redis is not None and self._disk is None else None

    async def get_local(
        self, key: str, expect: tuple[type[A]], ttl_of: Callable[[A], float], client: Client = ""
    ) -> tuple[A, Source] | None:
        """Give an entry that this machine holds."""
        return await self._get(key, expect, ttl_of, client, (self._disk,) if self._disk is not None else ())

    async def _get(
        self,
        key: str,
        expect: tuple[type[Any], ...],
        ttl_of: Callable[..., float],
        client: Client,
        farther: tuple[Tier, ...],
        claim: Claim | None = None,
    ) -> tuple[Any, Source] | None:
        entry = self._memory.get_nowait(key)
        if isinstance(entry, expect):
            return entry, Source.MEMORY
        deletions = self._deletions
        for tier in farther:
            entry = await (self._redis.get_claimed(key, claim) if claim and tier is self._redis else tier.get(key))
            if not isinstance(entry, expect) or not _belongs(entry, key):
                continue
            self.promote(key, entry, ttl_of(entry), client, tier.source, deletions=deletions)
            return entry, tier.source
        return None

    async def get_shared(
        self, key: str, ttl_of: Callable[[Entry], float], left: Entry | None = None, client: Client = ""
    ) -> Entry | None:
        """Look past memory: give what another replica has left, or what a tier holds, and store it in nearer ones too.

        The farthest tier first: another process that has loaded it has stored it there.
        """
        deletions, before = self._deletions, self._memory.get_nowait(key)
        entry, source = left, self.farthest
        for tier in reversed(self._farther):
            if entry is None:
                entry, source = await tier.get(key), tier.source
        if entry is not None and not _belongs(entry, key):
            return None
        if entry is not None and deletions == self._deletions and self._memory.get_nowait(key) is before:
            self._promote(key, entry, ttl_of(entry), client, source)
        return entry

    def opened(self, key: str, value: bytes) -> Entry | None:
        """Give the entry in a value of Redis."""
        return self._redis.opened(key, value) if self._redis is not None else None

    def promote(self, key: str, entry: Entry, ttl_s: float, client: Client, source: Source, *, deletions: int) -> None:
        """Store in nearer tiers what a farther one held when so many deletions had been counted.

        Meanwhile the entry may have been deleted, or replaced by a newer one: the one that was read is too old then.
        """
        if ttl_s > 0 and deletions == self._deletions and self._memory.get_nowait(key) is None:
            self._promote(key, entry, ttl_s, client, source)

    def _promote(self, key: str, entry: Entry, ttl_s: float, client: Client, source: Source) -> None:
        """Store an entry in the tiers that are nearer than the one that held it."""
        self._memory.set_nowait(key, entry, ttl_s, client)
        if self._disk is not None and source is not Source.DISK:
            self._disk.set_nowait(key, entry, ttl_s)

    async def set(self, key: str, entry: Entry, ttl_s: float, client: Client = "") -> None:
        """Store an entry for `ttl_s` seconds: in memory at once, on disk soon, in Redis by the end."""
        self.set_local(key, entry, ttl_s, client)
        if self._redis is not None:
            await self._redis.set(key, entry, ttl_s)

    def set_local(self, key: str, entry: Entry, ttl_s: float, client: Client = "") -> None:
        """Store an entry on this machine alone: in memory at once, for the client for which it came, on disk soon."""
        self._memory.set_nowait(key, entry, ttl_s, client)
        if self._disk is not None:
            self._disk.set_nowait(key, entry, ttl_s)

    def commit(self, key: str, entry: Entry, ttl_s: float) -> Commit | None:
        """Give the write to Redis, for the lease under which the entry was loaded; None where there is no Redis."""
        return partial(self._redis.write, key, entry, ttl_s) if self._redis is not None else None

    async def delete(self, key: str) -> None:
        """Delete an entry: for this process at once, from all tiers by the end."""
        self.delete_local(key)
        for tier in self._farther:
            await tier.delete(key)
        if self._farther:
            self._delete_from_memory(key)  # a read may have had it from there before it was gone

    def delete_local(self, key: str) -> None:
        """Delete an entry from this machine alone; other processes find it on disk for a moment."""
        self._delete_from_memory(key)
        if self._disk is not None:
            self._disk.delete_nowait(key)

    async def clear(self) -> None:
        """Delete all grants and pictures from all tiers; what Redis holds besides stays."""
        self._deletions += 1
        if self._redis is not None:
            for kind in KINDS:
                await self._redis.clear(namespace=f"{self._redis.namespace}:{kind}")
        if self._disk is not None:
            await self._disk.clear()
        self._deletions += 1  # a read may have had it from there before it was gone
        await self._memory.clear()

    def _delete_from_memory(self, key: str) -> None:
        self._deletions += 1
        self._memory.delete_nowait(key)


def _belongs(entry: Entry, key: str) -> bool:
    """Tell whether this was written for this key, as far as that can be seen; a picture would be shown to others."""
    return not isinstance(entry, (Picture, NoVariant, PictureInfo)) or picture_key(entry.id) == key
