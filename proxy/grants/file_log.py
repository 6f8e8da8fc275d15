"""The log of changes in a file: for the processes of one machine, and for what they keep on disk."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from struct import error as StructError  # noqa: N812 - a class
from typing import BinaryIO
from zlib import crc32

from proxy.coalesce.file_lock import lock_within
from proxy.domain.value_seal import ValueSeal
from proxy.grants.change_log import LogFailed, Page, opened

MAX_BYTES = 1024 * 1024
"""When it is larger, the older half goes."""
POLL_S = 0.25
LOCK_S = 0.4
"""How long another process that writes is waited for; it may have been stopped."""

_RECORD = Struct(">QHI")
"""Position, length and checksum."""
_SEQUENCE_BITS = 20
_NAME = "changes"


class FileLog:
    """Records one behind the other. A broken one ends the file: whoever had read farther trusts nothing from before."""

    name = "file"
    poll_s = POLL_S

    def __init__(self, path: Path, seal: ValueSeal, now: Callable[[], float] = time.time) -> None:
        """`seal`: a reader of the file without its keys cannot try which files its tags stand for."""
        self._path = path
        self._seal = seal
        self._now = now
        self._seen: tuple[int, int, int, int] | None = None
        """Inode, size, time of change and last position when it was read last."""
        self._thread = ThreadPoolExecutor(1, "change-log")

    def is_available(self) -> bool:
        """Tell whether it can be asked."""
        return True

    @contextmanager
    def woken(self) -> Iterator[asyncio.Future[bytes]]:
        """Give a future that is never done: nobody tells."""
        yield asyncio.get_running_loop().create_future()

    async def exchange(self, after: int, entries: Sequence[bytes]) -> Page:
        """Append entries and read on."""
        sealed = [self._seal.seal(_NAME, entry) for entry in entries]
        try:
            page = await asyncio.get_running_loop().run_in_executor(self._thread, self._exchange, after, sealed)
        except (OSError, StructError) as error:
            raise LogFailed from error
        return page._replace(entries=[(position, opened(self._seal, _NAME, raw)) for position, raw in page.entries])

    def close(self) -> None:
        """End the thread; nobody reads or writes any more."""
        self._thread.shutdown(wait=False)

    def _exchange(self, after: int, entries: Sequence[bytes]) -> Page:
        if not entries and self._is_read_to(after):
            return Page([(after, b"")], is_full=False)
        with self._locked() as file:
            raw = file.read()
            records = list(_records(raw))
            end = sum(_RECORD.size + len(payload) for _, payload in records)
            has_lost = bool(records) and records[0][0] < after and all(position != after for position, _ in records)
            last = max(records[-1][0] if records else 0, after)
            added = self._numbered(last, [b"", *entries] if has_lost or not records else entries)
            if end > MAX_BYTES:
                records = [*records[len(records) // 2 :], *added]
                _write(file, 0, records)
            elif added or end < len(raw):
                _write(file, end, added)
                records += added
            status = os.fstat(file.fileno())
        self._seen = (status.st_ino, status.st_size, status.st_mtime_ns, records[-1][0])
        found = records if has_lost else [record for record in records if record[0] >= after]
        return Page(found, is_full=False, has_lost=has_lost)

    def _is_read_to(self, after: int) -> bool:
        try:
            status = self._path.stat()
        except OSError:
            return False
        return after > 0 and self._seen == (status.st_ino, status.st_size, status.st_mtime_ns, after)

    def _numbered(self, last: int, entries: Sequence[bytes]) -> list[tuple[int, bytes]]:
        first = max(last + 1, int(self._now() * 1000) << _SEQUENCE_BITS)
        return [(first + index, entry) for index, entry in enumerate(entries)]

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        """Open the file, which nobody else may read, and keep other processes out meanwhile."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            lock_within(LOCK_S, file.fileno())
            yield file


def _records(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the records up to the first that is broken."""
    at, last = 0, 0
    while at + _RECORD.size <= len(raw):
        position, length, checksum = _RECORD.unpack_from(raw, at)
        payload = raw[at + _RECORD.size : at + _RECORD.size + length]
        if len(payload) != length or position <= last or checksum != _checksum(position, payload):
            return
        yield position, payload
        at, last = at + _RECORD.size + length, position


def _write(file: BinaryIO, at: int, records: Sequence[tuple[int, bytes]]) -> None:
    made = b"".join(
        _RECORD.pack(position, len(payload), _checksum(position, payload)) + payload for position, payload in records
    )
    file.seek(at)
    if file.write(made) != len(made):
        raise OSError(errno.ENOSPC, "the disk is full")
    file.truncate(at + len(made))


def _checksum(position: int, payload: bytes) -> int:
    return crc32(payload, position & 0xFFFFFFFF)
