"""Files that have come or changed in folders that are kept warm."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

from proxy.domain.file_uri import FileUri
from proxy.live_events.watched_folder import WatchedFolder
from proxy.upstream.event_streams import FileEvent

MAX_WAITING = 1000
"""When more wait, their folder is walked instead."""


class Arrivals:
    """Waits with each file or folder once, until it is taken to be warmed."""

    def __init__(self, warm: Collection[FileUri]) -> None:
        """`warm` are the folders that are kept warm, as they are listened to."""
        self._warm = frozenset(warm)
        self._waiting: dict[FileUri, None] = {}
        self._come = asyncio.Event()

    def note(self, folder: WatchedFolder, events: Iterable[FileEvent] | None) -> None:
        """Take note of what has come in a folder; None: it is not known what has."""
        if folder.uri not in self._warm:
            return
        paths = [event.to or event.path for event in events if event.type != "delete"] if events is not None else [""]
        for path in paths:
            self._waiting[folder.below(path) if len(self._waiting) < MAX_WAITING else folder.uri] = None
        if self._waiting:
            self._come.set()

    async def next(self) -> FileUri:
        """Wait for the next."""
        while not self._waiting:
            self._come.clear()
            await self._come.wait()
        uri = next(iter(self._waiting))
        del self._waiting[uri]
        return uri
