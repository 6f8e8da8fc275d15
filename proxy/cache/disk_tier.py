"""The tier between memory and Redis: shared by the processes of one machine, and there after a restart."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, Self
from weakref import WeakValueDictionary

from aiocache.base import BaseCache
from aiocache.serializers import NullSerializer

from proxy.cache import DEFAULT_TTL_S
from proxy.cache.disk_file import Unusable, open_file
from proxy.cache.disk_record import Record, Records, Value
from proxy.cache.disk_store import LOOK_S, TOUCH_S, DiskStore, Mark, StoredRecord
from proxy.cache.disk_writes import DiskWrites, Pending, Waiting
from proxy.cache.stored_picture import StoredPicture
from proxy.domain.entry import Entry
from proxy.domain.picture import Picture
from proxy.domain.source import Source
from proxy.settings import Settings

DELETE_S = 5.0
"""How long the disk may take to delete; after that it is given up, so that nothing comes back."""
MAX_WAITING_BYTES = 32 * 1024 * 1024
"""How much may wait to be written; beyond it entries are not kept on disk."""
MAX_TTL_S = 366 * 86400.0

RECENT = 64
"""So many pictures that were read last can be had as stored ones."""
_READERS = 4
_ENTRY_BYTES = 1024
"""The size of an entry while it waits, beside a picture's bytes."""


class _Read(NamedTuple):
    """The outcome of a read in a thread."""

    value: Value | None
    is_due: bool = False
    """Whether the use should be noted."""
    stored: StoredPicture | None = None


class DiskTier(BaseCache):
    """Stores entries in a file, sealed, each with a time to live. Trouble with the disk is a miss or a dropped write.

    A change counts in this process at once, and in others when it is written. Threads read and write,
    so that a slow disk stops nobody else; what was read before is read at once where that waits for no disk.
    """

    NAME = "disk"
    source = Source.DISK

    def __init__(self, store: DiskStore, records: Records, now: Callable[[], float]) -> None:
        super().__init__(serializer=NullSerializer(encoding=None), timeout=None, ttl=DEFAULT_TTL_S)
        self._store = store
        self._records = records
        self._now = now
        self._readers = ThreadPoolExecutor(_READERS, "disk-read")
        self._writes = DiskWrites(store, records)
        self._stored: WeakValueDictionary[str, StoredPicture] = WeakValueDictionary()
        self._recent: deque[StoredPicture] = deque(maxlen=RECENT)
        self._is_closed = False

    @classmethod
    def from_settings(cls, settings: Settings, now: Callable[[], float]) -> Self:
        """Open the tier of one Cloudreve site; raise Unusable saying why not."""
        folder, max_bytes = settings.disk.path, settings.disk.max_bytes
        if folder is None:
            raise Unusable("disk.path is not set")
        records = Records(settings.site, settings.disk_keys)
        return cls(DiskStore(open_file(folder, max_bytes), max_bytes, now), records, now)

    @property
    def is_up(self) -> bool:
        """Tell whether the disk is used; it is given up after trouble."""
        return self._store.is_up

    @property
    def trouble(self) -> str:
        """Say why the disk is used no more."""
        return self._store.trouble

    @property
    def size_bytes(self) -> int:
        """How many bytes the entries take."""
        return self._store.size_bytes

    def stored(self, key: str) -> StoredPicture | None:
        """Give a picture that somebody else holds as well, to be read without waiting; see `StoredPicture`."""
        return self._stored.get(key)

    def set_nowait(self, key: str, value: Entry, ttl: float) -> bool:
        """Store an entry for `ttl` seconds, unless that is not positive; tell whether it will be written."""
        if not ttl > 0:
            return False
        size_bytes = len(value.body) + _ENTRY_BYTES if isinstance(value, Picture) else _ENTRY_BYTES
        is_kept = self._writes.waiting_bytes + size_bytes <= MAX_WAITING_BYTES
        waiting = Waiting(value, self._now() + min(ttl, MAX_TTL_S))
        self._change(key, waiting if is_kept else Mark.DELETE, size_bytes if is_kept else 0)
        return is_kept

    def delete_nowait(self, key: str) -> None:
        """Delete an entry: at once for this process, soon for the others."""
        self._change(key, Mark.DELETE)

    async def get_text(self, key: str) -> str | None:
        """Give a text."""
        found = await self._found(key)
        return found if isinstance(found, str) else None

    async def set_text(self, key: str, text: str, ttl: float) -> None:
        """Store a text for `ttl` seconds, whatever else has to go: by the end every process finds it."""
        if ttl > 0:
            await self._certainly(self.set_text_nowait(key, text, ttl))

    def set_text_nowait(self, key: str, text: str, ttl: float, *, is_pinned: bool = True) -> asyncio.Future[None]:
        """Store a text, and wait for nothing; one that is not pinned may be driven out by others."""
        return self._change(key, Waiting(text, self._now() + min(ttl, MAX_TTL_S), is_pinned))

    async def written(self) -> None:
        """Wait until every process sees the changes made by now."""
        await self._writes.written()

    async def settle(self) -> None:
        """Wait until all that waits is written."""
        await self._writes.settle()

    async def aclose(self) -> None:
        """Write all pending changes, and close the file."""
        if self._is_closed:
            return
        self._is_closed = True
        await self._writes.aclose()
        await asyncio.to_thread(self._readers.shutdown)
        self._store.close()

    async def _found(self, key: str) -> Value | None:
        writes = self._writes
        while (change := writes.pending(key)) is None:
            rounds = writes.rounds
            found, is_due, stored = await asyncio.get_running_loop().run_in_executor(self._readers, self._read, key)
            # A change written in the meantime is not pending any more, and the value read may be from before it.
            if rounds == writes.rounds and writes.pending(key) is None:
                if is_due:
                    writes.touch(key)
                if stored is not None:
                    self._stored[key] = stored
                    self._recent.append(stored)
                return found
        return change.value if isinstance(change, Waiting) and change.expires > self._now() else None

    def _change(self, key: str, change: Pending, size_bytes: int = 0) -> asyncio.Future[None]:
        if (stored := self._stored.pop(key, None)) is not None:
            stored.is_over = True
        return self._writes.change(key, change, size_bytes)

    def _read(self, key: str) -> _Read:
        """Read in a thread."""
        now = self._now()
        for name in self._records.names(key):
            held = self._store.read(name)
            record = self._records.read(name, held.value, now) if held is not None else None
            if held is not None and record is not None:
                return self._opened(held, record, now)
        return _Read(None)

    def _opened(self, held: StoredRecord, record: Record, now: float) -> _Read:
        if held.extent is None or not isinstance(record.value, Picture):
            return _Read(record.value, held.is_due)
        stored = StoredPicture(self._store, record, record.value, held.extent, now + TOUCH_S)
        return _Read(record.value, held.is_due, stored)

    async def _certainly(self, written: asyncio.Future[None]) -> None:
        """Wait for a write after which nothing old may be found; a disk that takes too long is given up."""
        was_up = self._store.is_up
        try:
            async with asyncio.timeout(DELETE_S):
                await asyncio.shield(written)
        except TimeoutError:
            self._store.abandon("the disk takes too long to delete")
        if was_up and not self._store.is_up:
            await asyncio.sleep(LOOK_S)  # by then the others have seen that the file is gone

    async def _get(self, key: str, **_: object) -> Entry | None:
        found = await self._found(key)
        return None if found is None or isinstance(found, str) else found

    async def _multi_get(self, keys: Iterable[str], **_: object) -> list[Entry | None]:
        return list(await asyncio.gather(*map(self._get, keys)))

    async def _set(self, key: str, value: Entry, ttl: float | None, **_: object) -> bool:
        return await self._multi_set([(key, value)], ttl)

    async def _multi_set(self, pairs: Iterable[tuple[str, Entry]], ttl: float | None, **_: object) -> bool:
        is_kept = [self.set_nowait(key, value, DEFAULT_TTL_S if ttl is None else ttl) for key, value in pairs]
        await self.settle()
        return all(is_kept)

    async def _exists(self, key: str, **_: object) -> bool:
        return await self._get(key) is not None

    async def _delete(self, key: str, **_: object) -> int:
        """Delete an entry: by the end no process finds it on disk."""
        is_there = await self._get(key) is not None
        await self._certainly(self._change(key, Mark.DELETE))
        return int(is_there)

    async def _expire(self, key: str, ttl: float, **_: object) -> bool:
        """Give an entry another `ttl` seconds; none or less drops it, since nothing here lives for ever."""
        entry = await self._get(key)
        if entry is not None and ttl > 0:
            await self._set(key, entry, ttl)
        elif entry is not None:
            await self._delete(key)
        return entry is not None

    async def _clear(self, namespace: str | None = None, **_: object) -> bool:  # noqa: ARG002 - keys are digests
        await self._writes.clear()
        for stored in self._stored.values():
            stored.is_over = True
        return self.is_up
