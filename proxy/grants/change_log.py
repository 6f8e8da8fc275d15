"""The log of changes: what all processes of one Redis, or of one machine, read in the same order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from enum import IntEnum
from typing import NamedTuple, Protocol

import msgspec

from proxy.domain.tags import EVERYTHING, TAG_BYTES
from proxy.domain.value_seal import ValueSeal
from proxy.grants.invalidation import ChangeId
from proxy.grants.marks import Confirmed

MAX_TAGS_EACH = 4096
MAX_CONFIRMED = 256
"""So many places are confirmed by one change at most."""
MAX_ABOUT = MAX_CONFIRMED * 2 * TAG_BYTES


class LogFailed(Exception):
    """The log did not answer, or refused."""


class Page(NamedTuple):
    """The entries of a log from a position on."""

    entries: Sequence[tuple[int, bytes]]
    """Positions, which rise, and what was written there; the first is the one asked for, if it is there."""
    is_full: bool
    """Whether there may be more."""
    has_lost: bool = False
    """Whether older entries are there and the one asked for is not: the log has lost its end, or is a former one."""


class ChangeLog(Protocol):
    """An ordered log that many write. Its positions rise, also when it has been lost and is begun anew."""

    name: str

    async def exchange(self, after: int, entries: Sequence[bytes]) -> Page:
        """Append entries and read on from a position, which is given again; 0 is the beginning. Raise LogFailed.

        A log that is empty is begun, so that there is always a position. One that has lost what was read goes on at
        higher positions, and is given from its beginning.
        """

    def is_available(self) -> bool:
        """Tell whether it can be asked at present."""

    def woken(self) -> AbstractContextManager[asyncio.Future[bytes]]:
        """Give a future that is done when somebody has written, if that is told."""

    @property
    def poll_s(self) -> float:
        """How often to look without being told."""


class LogEntryKind(IntEnum):
    """The kinds of entries."""

    BEGIN = 0
    """A change begins."""
    END = 1
    """It has been made."""
    PURGE = 2
    """The same, and all that it ends is to be dropped; every process replies."""
    REPLY = 3
    """A process has done so."""


class LogEntry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The message of one process to all others about a change."""

    kind: LogEntryKind
    origin: bytes
    number: int
    """Of the change; in a reply, of the purge."""
    tags: tuple[bytes, ...] = ()
    about: bytes = b""
    """In a reply, the process that asked for the purge. In an end, places and pictures that were confirmed, as pairs of
    tags; a process of an older version does not read them, and ends all."""
    ended: tuple[int, int] = (0, 0)
    """In a reply, how many answers and pictures were dropped."""

    @property
    def is_end(self) -> bool:
        """Whether it ends the grants that have one of its tags and were given before."""
        return self.kind in (LogEntryKind.END, LogEntryKind.PURGE)

    @property
    def confirmed(self) -> Confirmed:
        """Give the places whose grants stay if they name these pictures; nothing for what no gateway writes."""
        is_sound = (
            self.kind is LogEntryKind.END and not len(self.about) % (2 * TAG_BYTES) and len(self.about) <= MAX_ABOUT
        )
        tags = [self.about[at : at + TAG_BYTES] for at in range(0, len(self.about), TAG_BYTES)] if is_sound else []
        return frozenset(zip(tags[::2], tags[1::2], strict=True))

    @property
    def change(self) -> ChangeId:
        """Name the change."""
        return self.origin, self.number


_OF_ANYTHING = LogEntry(LogEntryKind.END, b"", 0, (EVERYTHING,))
_NO_MSGPACK = b"\xc1"
"""Never used (MessagePack specification, Formats)."""
_decoder = msgspec.msgpack.Decoder(LogEntry)


def encode(entry: LogEntry) -> bytes:
    """Write an entry."""
    return msgspec.msgpack.encode(entry)


def decode(raw: bytes) -> LogEntry:
    """Read an entry; one that cannot be read may be a change of anything: other keys or another version wrote it."""
    try:
        entry = _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _OF_ANYTHING
    is_sound = len(entry.tags) <= MAX_TAGS_EACH and all(len(tag) == TAG_BYTES for tag in entry.tags)
    return entry if is_sound else _OF_ANYTHING


def opened(seal: ValueSeal, name: str, raw: bytes) -> bytes:
    """Open an entry: empty at the beginning of a log, and bytes that `decode` cannot read where it does not open."""
    if not raw:
        return b""
    entry = seal.open(name, raw)
    return _NO_MSGPACK if entry is None else entry
