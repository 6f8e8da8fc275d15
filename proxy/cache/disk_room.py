"""Room for new records in a full file: expired records go first, then those that were not used for long."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import islice
from struct import Struct

import lmdb

from proxy.cache.disk_file import OpenFile

KEY_BYTES = 20
PAGE_BYTES = 4096
PINNED = 0xFFFFFFFF
"""The time of use of a record that stays until it ends."""
USE = Struct("<dI")
"""When a record ends, and when it was used last; seconds of Unix time."""

_SAMPLE = 64
_ROUNDS = 500


class Room:
    """Drops records of one file."""

    def __init__(self, file: OpenFile, now: Callable[[], float]) -> None:
        self._file = file
        self._now = now

    def make(self, txn: lmdb.Transaction[bytes], most: int) -> None:
        """Drop records until the live ones take so many bytes at most, as far as a bounded effort goes."""
        for _ in range(_ROUNDS):
            if self.live_bytes(txn) <= most:
                return
            for key in self._oldest(txn):
                txn.delete(key, db=self._file.entries)
                txn.delete(key, db=self._file.uses)
                if self.live_bytes(txn) <= most:
                    return

    def _oldest(self, txn: lmdb.Transaction[bytes]) -> list[bytes]:
        """Give the half of a sample that is over or was used longest ago; keys are digests, so any place is random."""
        now = self._now()
        with txn.cursor(db=self._file.uses) as cursor:
            start = random.randbytes(KEY_BYTES)  # noqa: S311 - a sample is no secret
            if not cursor.set_range(start):
                cursor.first()
            sample = [(*USE.unpack(use), key) for key, use in islice(cursor.iternext(), _SAMPLE)]
        loose = [(expires > now, used, key) for expires, used, key in sample if used != PINNED or expires <= now]
        return [key for _, _, key in sorted(loose)[: (len(loose) + 1) // 2]]

    def live_bytes(self, txn: lmdb.Transaction[bytes]) -> int:
        """Tell how many bytes the records take, in whole pages."""
        pages: int = 0
        for database in (self._file.entries, self._file.uses):
            told = txn.stat(database)
            pages += told["branch_pages"] + told["leaf_pages"] + told["overflow_pages"]
        return pages * PAGE_BYTES
