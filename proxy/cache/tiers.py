"""All tiers as one store: memory, the tiers of this machine, and the one of all replicas."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar, overload

from proxy.cache.memory_tier import MemoryTier
from proxy.cache.tier import LocalTier, SharedBytes, SharedTier, StoredBytes, Tier
from proxy.domain.client import Client
from proxy.domain.entry import Entry
from proxy.domain.keys import picture_key
from proxy.domain.picture import NoVariant, Picture
from proxy.domain.picture_info import PictureInfo
from proxy.domain.shared_write import Commit
from proxy.domain.source import Source
from proxy.redis.lease import Claim

A = TypeVar("A", bound=Entry)
B = TypeVar("B", bound=Entry)


class Tiers:
    """Reads the nearest tier first, and is alone in writing to them. Without others memory serves alone."""

    def __init__(self, memory: MemoryTier, local: Sequence[LocalTier] = (), shared: SharedTier | None = None) -> None:
        """Take the tiers of this machine, nearest first, and the one of all replicas."""
        self._memory = memory
        self._local = tuple(local)
        self._shared = shared
        self._farther: tuple[Tier, ...] = (*local, shared) if shared is not None else self._local
        self._deletions = 0

    @property
    def memory(self) -> MemoryTier:
        """The nearest tier; for the fast path."""
        return self._memory

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
        With `claim`, which is for this key, the shared tier is read by it.
        """
        return await self._get(key, expect, ttl_of, client, self._reads(key, claim))

    async def get_local(
        self, key: str, expect: tuple[type[A]], ttl_of: Callable[[A], float], client: Client = ""
    ) -> tuple[A, Source] | None:
        """Give an entry that this machine holds."""
        reads = ((tier.source, tier.get(key)) for tier in self._local)
        return await self._get(key, expect, ttl_of, client, reads)

    def stored(self, key: str) -> StoredBytes | None:
        """Give a picture that was just found on this machine, to be read again without waiting."""
        return next(filter(None, (tier.stored(key) for tier in self._local)), None)

    def shared(self, key: str, picture: Picture) -> SharedBytes | None:
        """Give a picture that was just found in the shared tier, to be read there again; None where one is nearer."""
        return self._shared.shared(key, picture) if self._shared is not None and not self._local else None

    def read_soon(self, names: Sequence[str], receive: Callable[[Sequence[bytes | None]], None]) -> None:
        """Have values of the shared tier read by one command, and hand them over; None for nothing, or trouble."""
        assert self._shared is not None  # noqa: S101 - a picture was read there
        self._shared.read_soon(names, receive)

    def _reads(self, key: str, claim: Claim | None) -> Iterator[tuple[Source, Awaitable[Entry | None]]]:
        for tier in self._local:
            yield tier.source, tier.get(key)
        if self._shared is not None:
            shared = self._shared
            yield shared.source, shared.get(key) if claim is None else shared.get_claimed(key, claim)

    async def _get(
        self,
        key: str,
        expect: tuple[type[Any], ...],
        ttl_of: Callable[..., float],
        client: Client,
        reads: Iterable[tuple[Source, Awaitable[Entry | None]]],
    ) -> tuple[Any, Source] | None:
        entry = self._memory.get_nowait(key)
        if isinstance(entry, expect):
            return entry, Source.MEMORY
        deletions = self._deletions
        for source, read in reads:
            entry = await read
            if not isinstance(entry, expect) or not _belongs(entry, key):
                continue
            self.promote(key, entry, ttl_of(entry), client, source, deletions=deletions)
            return entry, source
        return None

    async def get_shared(
        self, key: str, ttl_of: Callable[[Entry], float], received: Entry | None = None, client: Client = ""
    ) -> Entry | None:
        """Look past memory: give what another replica has left, or what a tier holds, and store it in nearer ones too.

        The farthest tier first: another process that has loaded it has stored it there.
        """
        deletions, before = self._deletions, self._memory.get_nowait(key)
        entry, source = received, self.farthest
        for tier in reversed(self._farther):
            if entry is None:
                entry, source = await tier.get(key), tier.source
        if entry is not None and not _belongs(entry, key):
            return None
        if entry is not None and deletions == self._deletions and self._memory.get_nowait(key) is before:
            self._promote(key, entry, ttl_of(entry), client, source)
        return entry

    def opened(self, key: str, value: bytes) -> Entry | None:
        """Give the entry in a value of the shared tier."""
        return self._shared.opened(key, value) if self._shared is not None else None

    def promote(self, key: str, entry: Entry, ttl_s: float, client: Client, source: Source, *, deletions: int) -> None:
        """Store in nearer tiers what a farther one held when so many deletions had been counted.

        Meanwhile the entry may have been deleted, or replaced by a newer one: the one that was read is too old then.
        """
        if ttl_s > 0 and deletions == self._deletions and self._memory.get_nowait(key) is None:
            self._promote(key, entry, ttl_s, client, source)

    def _promote(self, key: str, entry: Entry, ttl_s: float, client: Client, source: Source) -> None:
        """Store an entry in the tiers that are nearer than the one that held it."""
        self._memory.set_nowait(key, entry, ttl_s, client)
        for tier in self._local:
            if tier.source is source:
                break
            tier.set_nowait(key, entry, ttl_s)

    async def set(self, key: str, entry: Entry, ttl_s: float, client: Client = "") -> None:
        """Store an entry for `ttl_s` seconds: in memory at once, on disk soon, in the shared tier by the end."""
        self.set_local(key, entry, ttl_s, client)
        if self._shared is not None:
            await self._shared.set(key, entry, ttl_s)

    def set_local(self, key: str, entry: Entry, ttl_s: float, client: Client = "") -> None:
        """Store an entry on this machine alone: in memory at once, for the client for which it came, on disk soon."""
        self._memory.set_nowait(key, entry, ttl_s, client)
        for tier in self._local:
            tier.set_nowait(key, entry, ttl_s)

    def commit(self, key: str, entry: Entry, ttl_s: float) -> Commit | None:
        """Give the write to the shared tier, for the lease under which the entry was loaded; None without that tier."""
        return partial(self._shared.write, key, entry, ttl_s) if self._shared is not None else None

    async def delete(self, key: str) -> None:
        """Delete an entry: for this machine at once, from all tiers by the end, the farthest first."""
        self.delete_local(key)
        for tier in reversed(self._farther):
            await tier.delete(key)
            self._delete_from_memory(key)  # a read may have had it from there before it was gone

    def delete_local(self, key: str) -> None:
        """Delete an entry from this machine alone; other processes find it on disk for a moment."""
        self._delete_from_memory(key)
        for tier in self._local:
            tier.delete_nowait(key)

    async def clear(self) -> None:
        """Delete all entries from all tiers, the farthest first."""
        self._deletions += 1
        for tier in reversed(self._farther):
            await tier.clear()
            self._deletions += 1  # a read may have had an entry from there before it was gone
        await self._memory.clear()

    def _delete_from_memory(self, key: str) -> None:
        self._deletions += 1
        self._memory.delete_nowait(key)


def _belongs(entry: Entry, key: str) -> bool:
    """Tell whether this was written for this key, as far as that can be seen; a picture would be shown to others."""
    return not isinstance(entry, (Picture, NoVariant, PictureInfo)) or picture_key(entry.id) == key
