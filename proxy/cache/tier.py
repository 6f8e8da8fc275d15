"""The contract of a tier: the verbs of aiocache over typed entries. One suite of tests holds for all tiers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from proxy.domain.entry import Entry
from proxy.domain.picture import Picture
from proxy.domain.shared_write import SharedWrite
from proxy.domain.source import Source
from proxy.redis.lease import Claim


class Tier(Protocol):
    """A tier beyond memory. Trouble with it is a miss or a dropped write."""

    source: Source

    async def get(self, key: str) -> Entry | None:
        """Give the entry, or None."""

    async def set(self, key: str, value: Entry, ttl: float) -> bool:
        """Store an entry for `ttl` seconds, unless that is not positive; tell whether it is."""

    async def delete(self, key: str) -> int:
        """Delete an entry; tell how many there were."""

    async def clear(self) -> bool:
        """Delete all entries; tell whether that was possible."""


class StoredBytes(Protocol):
    """A picture on this machine that is read again without waiting."""

    def read(self, now: float) -> memoryview | None:
        """Give the bytes; None where they would have to be waited for, or are not there."""


class LocalTier(Tier, Protocol):
    """A tier of this machine. A change counts in this process at once, and in others once it is written."""

    def set_nowait(self, key: str, value: Entry, ttl: float) -> bool:
        """Store an entry, and wait for nothing."""

    def delete_nowait(self, key: str) -> None:
        """Delete an entry, and wait for nothing."""

    def stored(self, key: str) -> StoredBytes | None:
        """Give a picture that was just found, to be read again without waiting."""


class SharedBytes(Protocol):
    """A picture in the shared tier that is read again without being parsed."""

    name: str
    """Of its value, for `SharedTier.read_soon`."""

    def body(self, value: bytes) -> memoryview | None:
        """Give the bytes of the picture in a value; None where the value is not that of the same picture."""

    def picture(self, body: memoryview) -> Picture:
        """Make a picture of its own of bytes that `body` gave."""


class SharedTier(Tier, Protocol):
    """The tier of all replicas."""

    async def get_claimed(self, key: str, claim: Claim) -> Entry | None:
        """Give the entry, read by a claim, which leads in loading it where there is none."""

    def opened(self, key: str, value: bytes) -> Entry | None:
        """Give the entry in a value that stood in this tier under the key; None for anything else."""

    def write(self, key: str, value: Entry, ttl: float) -> SharedWrite:
        """Give the bytes that `set` would store."""

    def shared(self, key: str, picture: Picture) -> SharedBytes:
        """Give a picture that was just found, to be read again by `read_soon`."""

    def read_soon(self, names: Sequence[str], receive: Callable[[Sequence[bytes | None]], None]) -> None:
        """Have values read by one command, and hand them over; None for nothing, or trouble."""
