"""Locks on pieces of work among the processes of one machine. The kernel frees those of a process that dies."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from struct import Struct

IS_AVAILABLE = hasattr(fcntl, "F_OFD_SETLK") and Struct("l").size == 8  # noqa: PLR2004
"""Whether the system has locks of open files (Linux 3.15 and later, 64 bits; fcntl(2), "Open file description locks").

Locks of processes will not do: closing any descriptor of the file frees them, and two gateways in one process share
them.
"""

_FLOCK = Struct("hhqqi4x")
"""`struct flock`: type, whence, start, length, process id, which has to be 0."""
_OFFSETS = 1 << 62


class WorkLocks:
    """One byte of a file for each piece of work, and a second for those who wait for it. No call waits."""

    def __init__(self, path: Path, site: str) -> None:
        """Open the file; raise OSError when that fails. `site` keeps the work of several Cloudreves apart."""
        self._site = site
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._held: set[int] = set()
        self._waiting: Counter[int] = Counter()

    def take(self, name: str) -> bool:
        """Take a lock if nobody holds it, in this process or another."""
        offset = self._offset(name)
        if offset in self._held or not self._set(fcntl.F_WRLCK, offset):
            return False
        self._held.add(offset)
        return True

    def let_go(self, name: str) -> None:
        """Free a lock that was taken here."""
        offset = self._offset(name)
        self._held.discard(offset)
        self._set(fcntl.F_UNLCK, offset)

    @contextmanager
    def waiting(self, name: str) -> Iterator[None]:
        """Let the holder of a lock see that it is waited for."""
        offset = self._offset(name)
        self._waiting[offset] += 1
        self._set(fcntl.F_RDLCK, offset + _OFFSETS)
        try:
            yield
        finally:
            self._waiting[offset] -= 1
            if not self._waiting[offset]:
                del self._waiting[offset]
                self._set(fcntl.F_UNLCK, offset + _OFFSETS)

    def is_awaited(self, name: str) -> bool:
        """Tell whether somebody waits for a lock."""
        offset = self._offset(name)
        if offset in self._waiting:
            return True
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset + _OFFSETS, 1, 0)
        try:
            return bool(_FLOCK.unpack(fcntl.fcntl(self._file, fcntl.F_OFD_GETLK, asked))[0] != fcntl.F_UNLCK)
        except OSError:
            return True

    def close(self) -> None:
        """Free all locks."""
        os.close(self._file)

    def _set(self, kind: int, offset: int) -> bool:
        """Set a lock on one byte; a system without room for more locks counts as a lock that another holds."""
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0))
        except OSError:
            return False
        return True

    def _offset(self, name: str) -> int:
        return int.from_bytes(blake2b(f"{self._site} {name}".encode(), digest_size=8).digest()) % _OFFSETS
