"""The generator of thumbnails: slow, few at a time, and one call per file, as Cloudreve's is."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from itertools import cycle
from uuid import uuid4

from proxy.standin.answer import Refused
from proxy.standin.library import Entity, File, Library


class Leaving(StrEnum):
    """What becomes of a generation whose client closes the connection; a real Cloudreve was seen doing all of them."""

    GOES_ON = "goes_on"
    ABORTS = "aborts"
    """The work is lost, the next call starts anew."""
    LOCKS = "locks"
    """The file's lock is never released: every later call gets 40073 until the lock expires, hours later."""


class ThumbnailGenerator:
    """Makes thumbnails. Its attributes are switches and may be turned at any time."""

    def __init__(self, library: Library, workers: int = 15) -> None:
        self._library = library
        self.seconds = 0.0
        """How long generation takes."""
        self.gate: asyncio.Event | None = None
        """Holds back every generation until set, so that tests need no sleeping; `File.gate` does it for one file."""
        self.leaving = Leaving.GOES_ON
        self._workers = asyncio.Semaphore(workers)
        self._under_way: dict[str, asyncio.Task[Entity | None]] = {}
        self._locked: set[str] = set()
        self._conflicts = cycle((_lock_conflict, _upload_failure))  # a real one answers either way, by chance

    def unlock(self) -> None:
        """Let all stuck locks expire."""
        self._locked.clear()

    async def idle(self) -> None:
        """Wait until nothing is being generated."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    async def stop(self) -> None:
        """Drop all work."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def thumbnail(self, file: File, seen_as: str, *, owner: bool) -> Entity:
        """Generate a fresh file's thumbnail; Refused when another call is at it, or nothing can be drawn.

        `seen_as` is the path that a lock conflict tells this viewer; only the owner learns the lock's token.
        """
        task = self._under_way.get(file.original.id)
        if file.original.id in self._locked:
            raise _lock_conflict(seen_as, owner=owner)
        if task is not None and file.draw is not None:
            raise next(self._conflicts)(seen_as, owner=owner)
        if task is None:
            task = asyncio.create_task(self._generate(file))
            self._under_way[file.original.id] = task
            task.add_done_callback(lambda _: self._under_way.pop(file.original.id, None))
        entity = await self._await(file, task)
        if entity is None:
            raise Refused(-1, "")
        return entity

    async def _await(self, file: File, task: asyncio.Task[Entity | None]) -> Entity | None:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self.leaving is not Leaving.GOES_ON:
                task.cancel()
            if self.leaving is Leaving.LOCKS:
                self._locked.add(file.original.id)
            raise

    async def _generate(self, file: File) -> Entity | None:
        """Draw, or find that nothing can be drawn."""
        async with self._workers:
            await asyncio.sleep(self.seconds)
            for gate in (self.gate, file.gate):
                if gate is not None:
                    await gate.wait()
            if file.is_unreadable:
                return None
            if file.draw is None:
                file.hopeless = True
                return None
            await asyncio.to_thread(file.draw)
            return self._library.keep_thumbnail(file)


def _lock_conflict(seen_as: str, *, owner: bool) -> Refused:
    """Refuse a call that came second, and say what is locked."""
    lock: dict[str, object] = {"path": seen_as}
    if owner:
        lock["token"] = str(uuid4())
    return Refused(40073, "Lock conflict", [lock | {"owner": {"application": {"type": "upload"}}, "type": 0}])


def _upload_failure(_seen_as: str, *, owner: bool) -> Refused:  # noqa: ARG001 - the other answer says more
    """Refuse a call that came second, the other way."""
    return Refused(50004, "Failed to upload file")
