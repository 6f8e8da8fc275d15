"""Tells changes to all processes, and hears of theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec
import structlog

from proxy.domain.tags import EVERYTHING, Tag
from proxy.grants.change_log import MAX_CONFIRMED, ChangeLog, LogEntry, LogEntryKind, LogFailed, decode, encode
from proxy.grants.invalidation import ChangeId, Invalidations
from proxy.grants.marks import NOTHING_CONFIRMED, Confirmed

OPEN_S = 30.0
"""A change that has not been renewed for this long counts as ended."""
RENEW_S = 10.0
"""How often a change under way is renewed."""
ABANDONED_S = 10.0
"""The same when its answer was not waited for: Cloudreve may still be at work."""
SPREAD_S = 1.0
"""How long the author of a change waits until the log has it."""
READY_S = 0.5
"""How long a process that was cut off waits for what it has missed, before it goes by what it knows."""
MAX_TAGS = 1024
"""A change with more is one of everything; entries of the log stay small."""
MAX_UNSENT = 5000
"""When more changes wait for the log, they are told as one of everything."""
RETRY_S = 0.25
REPLIES_S = 0.6
"""How long a purge waits for the replies of other processes, which look for news four times a second at least."""

_log = structlog.get_logger("proxy.grants.changes")


class ChangeFeed:
    """Changes in the order of the log. While it is away, changes are kept until it is back; those of here count here.

    Without a log this process is the only one.
    """

    def __init__(self, log: ChangeLog | None, invalidations: Invalidations, timer: Callable[[], float]) -> None:
        self._log = log
        self.invalidations = invalidations
        self._timer = timer
        self._number = 0
        self._unsent: dict[tuple[LogEntryKind, bytes, int], LogEntry] = {}
        """Entries that the log is not known to hold, in order."""
        self._begun: dict[ChangeId, float] = {}
        """Changes of this process, and when to give word of them again."""
        self._read_to = 0
        self._replies: dict[ChangeId, list[LogEntry]] = {}
        self.purges: asyncio.Queue[LogEntry] = asyncio.Queue()
        """Purges that this process has heard of, for `Purger`."""
        self._alone_replied = asyncio.Event()
        """This process has done what a purge asks for, and there is no other."""
        self._lock = asyncio.Lock()
        self._wanted = asyncio.Event()
        self.is_behind = False
        """Whether the log could not be read last time."""

    @property
    def waiting(self) -> int:
        """Count what is to be told as soon as the log is back."""
        return len(self._unsent)

    def begin(self, tags: Iterable[Tag]) -> ChangeId:
        """Begin a change: until its end nothing that is kept under these tags counts."""
        change = self._next()
        self._begun[change] = self._timer() + RENEW_S
        self._send(LogEntry(LogEntryKind.BEGIN, *change, tuple(tags)))
        return change

    def end(self, change: ChangeId, tags: Iterable[Tag]) -> None:
        """End a change that Cloudreve has answered: what was granted before counts no more."""
        self._begun.pop(change, None)
        self._send(LogEntry(LogEntryKind.END, *change, tuple(tags)))

    def tell(self, tags: Iterable[Tag], confirmed: Confirmed = NOTHING_CONFIRMED) -> None:
        """Tell of a change that has been made; the pictures stay that Cloudreve has named since (`marks.py`)."""
        about = b"".join(place + picture for place, picture in sorted(confirmed)[:MAX_CONFIRMED])
        self._send(LogEntry(LogEntryKind.END, *self._next(), tuple(tags), about))

    async def purge(self, tags: Iterable[Tag]) -> list[LogEntry]:
        """Tell of a change whose grants are to be dropped as well; give the replies of all who hear of it."""
        change = self._next()
        self._alone_replied.clear()
        entry, replies = LogEntry(LogEntryKind.PURGE, *change, tuple(tags)), self._replies.setdefault(change, [])
        try:
            self._send(entry)
            self.purges.put_nowait(entry)
            await self.spread()
            with suppress(TimeoutError):
                async with asyncio.timeout(REPLIES_S):
                    await self._alone_replied.wait()
            await self.catch_up()
        finally:
            del self._replies[change]
        return replies

    def reply(self, purge: LogEntry, ended: tuple[int, int]) -> None:
        """Say that this process has dropped what a purge ends."""
        reply = LogEntry(LogEntryKind.REPLY, self.invalidations.origin, purge.number, about=purge.origin, ended=ended)
        if purge.origin == self.invalidations.origin:
            self._hear(reply)
            if self._log is None:
                self._alone_replied.set()
        else:
            self._send(reply)

    def abandon(self, change: ChangeId) -> None:
        """Let a change end a while later: nobody knows what has become of it."""
        self._begun.pop(change, None)
        self.invalidations.postpone(change, self._timer() + ABANDONED_S)

    async def spread(self) -> None:
        """Wait until all that was told is in the log, for `SPREAD_S` at most; what is not will be told later."""
        if self._unsent:
            await self.catch_up()

    async def ready(self) -> None:
        """Catch up when the log was away and is back, before anything that is kept is trusted."""
        if self.is_behind and self._log is not None and self._log.is_available():
            with suppress(LogFailed, TimeoutError):
                async with asyncio.timeout(READY_S):
                    await self.step()

    async def catch_up(self) -> None:
        """Read what has been told so far, for `SPREAD_S` at most."""
        with suppress(LogFailed, TimeoutError):
            async with asyncio.timeout(SPREAD_S):
                await self.step()

    async def step(self) -> None:
        """Write what waits, and read what is new."""
        if self._log is None:
            return
        async with self._lock:
            try:
                while await self._page(self._log):
                    pass
            except LogFailed:
                self._turn(is_behind=True)
                raise
            self._turn(is_behind=False)

    async def follow(self) -> None:
        """Go on for ever."""
        while True:
            self._tend()
            if self._log is None:
                await asyncio.sleep(RENEW_S)
                continue
            with self._log.woken() as woken:
                with suppress(LogFailed):
                    await self.step()
                await self._pause(woken, RETRY_S if self.is_behind else self._log.poll_s)

    async def _pause(self, woken: asyncio.Future[bytes], seconds: float) -> None:
        wanted: asyncio.Future[Any] = asyncio.ensure_future(self._wanted.wait())
        try:
            waiting: set[asyncio.Future[Any]] = {woken, wanted}
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            wanted.cancel()
        self._wanted.clear()

    def _hear(self, reply: LogEntry) -> None:
        replies = self._replies.get((reply.about, reply.number))
        if replies is not None and reply.origin not in {other.origin for other in replies}:
            replies.append(reply)

    def _next(self) -> ChangeId:
        self._number += 1
        return self.invalidations.origin, self._number

    def _send(self, entry: LogEntry) -> None:
        """Let an entry count here, and have it written to the log."""
        if len(entry.tags) > MAX_TAGS:  # whoever names so many does not mean them one by one
            entry = msgspec.structs.replace(entry, tags=(EVERYTHING,), about=b"")
        self._count(entry, 0)
        if self._log is None:
            return
        if entry.is_end:
            self._unsent.pop((LogEntryKind.BEGIN, b"", entry.number), None)
        self._unsent[entry.kind, entry.about, entry.number] = entry
        if len(self._unsent) > MAX_UNSENT:
            self._unsent.clear()
            self.tell((EVERYTHING,))
        self._wanted.set()

    def _count(self, entry: LogEntry, position: int) -> None:
        if entry.is_end:
            self.invalidations.end(entry.change, entry.tags, position, entry.confirmed)
        elif entry.kind is LogEntryKind.BEGIN:
            self.invalidations.begin(entry.change, entry.tags, self._timer() + OPEN_S)

    def _tend(self) -> None:
        """Give word of changes that take long, and end those of which there has been none."""
        now = self._timer()
        for change in [change for change, due_at in self._begun.items() if due_at <= now]:
            self._begun[change] = now + RENEW_S
            self._send(LogEntry(LogEntryKind.BEGIN, *change, self.invalidations.tags_of(change)))
        for change, tags in self.invalidations.expire(now):
            self.invalidations.close(change)
            self.tell(tags)

    async def _page(self, log: ChangeLog) -> bool:
        """Exchange one page with the log; tell whether there may be another."""
        sent = dict(self._unsent)
        entries = [encode(entry) for entry in sent.values()]
        page = await log.exchange(self._read_to, entries)
        first = page.entries[0][0]
        if first != self._read_to:
            if self._read_to:
                _log.warning("changes may have been missed: all grants are asked for again")
            self.invalidations.begin_log(first, has_gap=self._read_to != 0)
            self._read_to = 0
        for key, entry in sent.items():
            if self._unsent.get(key) is entry:
                del self._unsent[key]
        for position, raw in page.entries:
            if position > self._read_to:
                self._take(position, decode(raw) if raw else None)
        if page.has_lost:
            # Changes since then may stand at lower positions than grants from before: all of those end, for everybody.
            self.tell((EVERYTHING,))
        return page.is_full or page.has_lost

    def _take(self, position: int, entry: LogEntry | None) -> None:
        self._read_to = position
        if entry is not None and entry.kind is LogEntryKind.REPLY:
            self._hear(entry)
        elif entry is not None and entry.origin != self.invalidations.origin:
            self._count(entry, position)
            if entry.kind is LogEntryKind.PURGE:
                self.purges.put_nowait(entry)
        elif entry is not None and entry.is_end:
            self.invalidations.confirm(entry.number, entry.tags, position)
        self.invalidations.read_to(position)

    def _turn(self, *, is_behind: bool) -> None:
        if is_behind != self.is_behind:
            self.is_behind = is_behind
            tell = _log.warning if is_behind else _log.info
            tell("changes cannot be shared" if is_behind else "changes are shared")
