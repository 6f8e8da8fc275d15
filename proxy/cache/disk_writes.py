"""Changes on their way to the disk: one thread writes all that has come in the meantime in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, starmap
from typing import NamedTuple, TypeAlias

from proxy.cache.disk_record import Records, Value
from proxy.cache.disk_store import Change, DiskStore, Mark


class Waiting(NamedTuple):
    """A value on its way to the disk."""

    value: Value
    expires: float
    is_pinned: bool = False
    """Whether it stays until it ends, whatever has to go."""


Pending: TypeAlias = Waiting | Mark


class DiskWrites:
    """The changes that are not on disk yet, by key; they count in this process at once, and in others once written."""

    def __init__(self, store: DiskStore, records: Records) -> None:
        self._store = store
        self._records = records
        self._thread = ThreadPoolExecutor(1, "disk-write")
        self._waiting: dict[str, Pending] = {}
        self._writing: dict[str, Pending] = {}
        self._soon: asyncio.Future[None] | None = None
        """Done when what waits is written."""
        self._now: asyncio.Future[None] | None = None
        """Done when what is being written is."""
        self._round: asyncio.Task[None] | None = None
        self.waiting_bytes = 0
        self.rounds = 0
        """How many transactions there have been: what a thread has read may be from before the last one."""

    def change(self, key: str, change: Pending, size_bytes: int = 0) -> asyncio.Future[None]:
        """Have something written with all that waits; the future is done when it is, or the disk is given up."""
        loop = asyncio.get_running_loop()
        self._waiting[key] = change
        self.waiting_bytes += size_bytes
        if self._soon is None:
            self._soon = loop.create_future()
        written = self._soon
        if self._round is None:
            self._round = loop.create_task(self._write())
        return written

    def touch(self, key: str) -> None:
        """Have it noted that an entry was used, unless it is about to change."""
        if key not in self._waiting:
            self.change(key, Mark.TOUCH)

    def pending(self, key: str) -> Pending | None:
        """Give a change that is not on disk yet."""
        for changes in (self._waiting, self._writing):
            change = changes.get(key, Mark.TOUCH)
            if change is not Mark.TOUCH:
                return change
        return None

    async def written(self) -> None:
        """Wait until all that waits by now is written."""
        written = self._soon or self._now
        if written is not None:
            await asyncio.shield(written)

    async def settle(self) -> None:
        """Wait until nothing waits any more."""
        while self._round is not None:
            await asyncio.shield(self._round)

    async def clear(self) -> None:
        """Drop all records, those that wait too."""
        await self.settle()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._store.clear)
        self.rounds += 1

    async def aclose(self) -> None:
        """Write all pending changes."""
        await self.settle()
        await asyncio.to_thread(self._thread.shutdown)

    async def _write(self) -> None:
        try:
            while self._waiting:
                self._writing, self._waiting, self.waiting_bytes = self._waiting, {}, 0
                self._now, self._soon = self._soon, None
                await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, self._writing)
                self._writing = {}
                self.rounds += 1
                if self._now is not None and not self._now.done():
                    self._now.set_result(None)
        finally:
            self._now = self._round = None

    def _commit(self, changes: dict[str, Pending]) -> None:
        """Write in a thread."""
        try:
            self._store.write(dict(chain.from_iterable(starmap(self._named, changes.items()))))
        except Exception as error:  # noqa: BLE001 - callers that wait for the write have to be let go, whatever it was
            self._store.abandon(repr(error))

    def _named(self, key: str, change: Pending) -> Iterator[tuple[bytes, Change]]:
        """Give the change of each name of a key. Under the names of former secrets nothing stays."""
        name, *former = self._records.names(key)
        yield name, self._records.record(name, *change) if isinstance(change, Waiting) else change
        for each in former:
            yield each, Mark.TOUCH if change is Mark.TOUCH else Mark.DELETE
