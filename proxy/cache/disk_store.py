"""Records on disk, bounded: those not used for long go first. Calls wait for the disk, so threads make them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import NamedTuple, TypeAlias

import lmdb
import structlog

from proxy.cache.disk_extents import Extent
from proxy.cache.disk_file import OpenFile
from proxy.cache.disk_room import PAGE_BYTES, PINNED, USE, Room

LARGEST_SHARE = 16
"""A record larger than this fraction of the bound is not kept."""
TOUCH_S = 300.0
"""How exactly it is known when a record was used last."""

LOOK_S = 0.1
"""How often the fast path looks whether the file is still there."""

_FULL = 0.75
"""The part of the bound that live records may take: LMDB writes a page anew before it frees the old one."""
_HALF = 0.5
_SCATTERED = 2  # attempts, after which the free pages may be scattered and half of the records go
_PAUSES_S = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)

_log = structlog.get_logger("proxy.cache.disk_tier")


class Put(NamedTuple):
    """Write a record."""

    value: bytes
    expires: float
    is_pinned: bool = False
    """Whether it stays until it ends, whatever has to go."""


class Mark(Enum):
    """The other changes of a record."""

    DELETE = auto()
    TOUCH = auto()
    """Note that it was used."""


Change: TypeAlias = Put | Mark


class StoredRecord(NamedTuple):
    """A record as it was read."""

    value: bytes
    is_due: bool
    """Whether it should be noted that it was used."""
    extent: Extent | None = None


class DiskStore:
    """Reads and changes the records of one file. After trouble that could bring back what was deleted it holds none."""

    def __init__(self, file: OpenFile, max_bytes: int, now: Callable[[], float]) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._now = now
        self._room = Room(file, now)
        self.is_up = True
        """Whether the file is used."""
        self.trouble = ""
        """Why it is used no more."""
        self._looked_at = -math.inf
        self._read_extent = file.extents.read

    @property
    def size_bytes(self) -> int:
        """How many bytes the records take."""
        if not self.is_up:
            return 0
        with self._file.env.begin() as txn:
            return self._room.live_bytes(txn)

    def read(self, key: bytes) -> StoredRecord | None:
        """Give a record; None when there is none, or the disk is in trouble."""
        if not self._is_current():
            return None
        try:
            with self._file.env.begin(buffers=True) as txn:
                mapped = txn.get(key, db=self._file.entries)
                if mapped is None:
                    return None
                value = bytes(mapped)
                extent = self._file.extents.find(mapped, value)
                use = bytes(txn.get(key, db=self._file.uses) or b"")
        except (lmdb.Error, OSError) as error:
            self.abandon(str(error))
            return None
        if len(use) != USE.size:
            return None
        used = USE.unpack(use)[1]
        is_due = used != PINNED and self._now() - used > TOUCH_S
        return StoredRecord(value, is_due, None if is_due else extent)

    def write(self, changes: Mapping[bytes, Change]) -> None:
        """Make changes; what finds no room drops its predecessor. The file is given up where even that fails."""
        if not self._is_current():
            return
        try:
            for part in self._parts(changes):
                self._write(part)
        except (lmdb.Error, OSError) as error:
            self.abandon(str(error))

    def read_at_once(self, extent: Extent, now: float) -> memoryview | None:
        """Read the bytes of an extent, without waiting; None where that cannot be, or the file is not used any more.

        That another process has given it up is noticed after `LOOK_S` at most.
        """
        if not self._looked_at <= now < self._looked_at + LOOK_S:
            self._looked_at = now
            self._is_current()
        return self._read_extent(extent) if self.is_up else None

    def abandon(self, reason: str) -> None:
        """Use the file no more, and let no other process, now or later, find in it what should have been deleted."""
        if not self.is_up:
            return
        self._give_up(reason)
        try:
            self._file.path.unlink(missing_ok=True)
        except OSError as error:
            _log.error("the disk tier's file cannot be removed: do so before the next start", reason=str(error))

    def clear(self) -> None:
        """Drop all records."""
        if not self._is_current():
            return
        try:
            with self._file.env.begin(write=True) as txn:
                txn.drop(self._file.entries, delete=False)
                txn.drop(self._file.uses, delete=False)
        except lmdb.Error as error:
            self.abandon(str(error))

    def close(self) -> None:
        """Close the file; nobody reads or writes any more."""
        self.is_up = False
        self._file.close()

    def _give_up(self, reason: str) -> None:
        self.is_up, self.trouble = False, reason
        _log.warning("disk tier given up until the next start", reason=reason)

    def _is_current(self) -> bool:
        """Tell whether the file is used, and is still the one that others use."""
        if not self.is_up:
            return False
        try:
            is_same = os.stat(self._file.path).st_ino == self._file.inode  # noqa: PTH116 - the hot path
        except OSError:
            is_same = False
        if not is_same:
            self._give_up("the file has been removed or replaced")
        return is_same

    def _parts(self, changes: Mapping[bytes, Change]) -> Iterator[dict[bytes, Change]]:
        """Give the changes in transactions that the room between live records and the bound can hold."""
        part: dict[bytes, Change] = {}
        size = 0
        for key, change in changes.items():
            taken = _taken_bytes(change)
            if part and size + taken > self._max_bytes // LARGEST_SHARE:
                yield part
                part, size = {}, 0
            is_too_large = isinstance(change, Put) and len(change.value) > self._max_bytes // LARGEST_SHARE
            part[key] = Mark.DELETE if is_too_large else change
            size += 0 if is_too_large else taken
        if part:
            yield part

    def _write(self, part: Mapping[bytes, Change]) -> None:
        """Commit a part. While another reads, replaced records keep their pages: a full map may soon be none."""
        for attempt, pause_s in enumerate(_PAUSES_S):
            try:
                self._commit(part, _FULL if attempt < _SCATTERED else _HALF)
            except lmdb.MapFullError:
                self._file.env.reader_check()  # some may be dead
                time.sleep(pause_s)
            except lmdb.Error:
                break
            else:
                return
        self._drop(part)

    def _drop(self, part: Mapping[bytes, Change]) -> None:
        """Drop the predecessors of what cannot be written; pinned records are never done without."""
        if any(isinstance(change, Put) and change.is_pinned for change in part.values()):
            raise lmdb.Error("a record that has to be kept cannot be written")
        with self._file.env.begin(db=self._file.entries) as txn:
            there = [key for key, change in part.items() if change is not Mark.TOUCH and txn.get(key) is not None]
        if there:
            self._commit(dict.fromkeys(there, Mark.DELETE), 1.0)

    def _commit(self, part: Mapping[bytes, Change], most: float) -> None:
        file, now = self._file, int(self._now())
        with file.env.begin(write=True) as txn:
            self._room.make(txn, int(self._max_bytes * most) - sum(map(_taken_bytes, part.values())))
            for key, change in part.items():
                if change is Mark.TOUCH:
                    self._touch(txn, key, now)
                    continue
                # Each key once in a transaction: else a shorter value would keep its predecessor's pages, which the
                # check at the next start takes for damage.
                if isinstance(change, Put):
                    used = PINNED if change.is_pinned else now
                    txn.put(key, change.value, db=file.entries)
                    txn.put(key, USE.pack(change.expires, used), db=file.uses)
                else:
                    txn.delete(key, db=file.entries)
                    txn.delete(key, db=file.uses)

    def _touch(self, txn: lmdb.Transaction[bytes], key: bytes, now: int) -> None:
        use = txn.get(key, db=self._file.uses)
        if use is not None:
            txn.put(key, USE.pack(USE.unpack(use)[0], now), db=self._file.uses)


def _taken_bytes(change: Change) -> int:
    """Estimate the pages that a change takes."""
    value = len(change.value) if isinstance(change, Put) else 0
    return (value // PAGE_BYTES + 2) * PAGE_BYTES if value else PAGE_BYTES // 8
