"""Asking Cloudreve for a grant without colliding: in turn while a thumbnail may have to be made, and patiently."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol, TypeGuard
from weakref import WeakValueDictionary

from cachetools import TTLCache

from proxy.coalesce.fair_queue import FairQueue
from proxy.coalesce.work_sharing import WorkSharing
from proxy.domain.client import client_of
from proxy.domain.credentials import Credentials
from proxy.domain.file_uri import FileUri
from proxy.domain.freshness import backoff_s
from proxy.domain.grant import Grant, Resolution
from proxy.domain.grant_stamp import GrantStamp
from proxy.domain.keys import turn_key
from proxy.domain.refusal import FAILED_CODE, UPLOAD_FAILED_CODES, Generating, Refusal, RefusalKind
from proxy.domain.tags import Tag
from proxy.domain.thumb_request import ThumbRequest
from proxy.domain.visitor import Visitor
from proxy.grants.known_thumbnails import KnownThumbnails
from proxy.upstream.breaker import UpstreamBreaker

UPLOADS = 5
"""How often a thumbnail that Cloudreve could not store is asked for, which is generated anew each time."""
UPLOAD_PAUSE_S = 0.25
"""Before the second time; twice as long before each further one, so that all of them take some five seconds."""
FAILED_S = 5.0
"""How long nobody asks for a thumbnail after that."""
FAILED_NAMES = 10_000
UNREADABLE_S = 2.0
"""How long an original that could not be read is not tried again for the same visitor."""


class Resolving(Protocol):
    """Cloudreve, as far as it is asked for grants: `upstream/cloudreve.py`."""

    breaker: UpstreamBreaker

    async def resolve(self, uri: FileUri, credentials: Credentials) -> Resolution:
        """Ask once."""


class Resolver:
    """Resolves one after the other what would collide, and asks again while Cloudreve works for somebody else."""

    def __init__(
        self,
        cloudreve: Resolving,
        sharing: WorkSharing,
        limit: FairQueue,
        deadline_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        stamp: Callable[[], GrantStamp] = GrantStamp,
        tell: Callable[[tuple[Tag, ...]], None] = lambda _: None,
    ) -> None:
        self.breaker = cloudreve.breaker
        self._cloudreve = cloudreve
        self._sharing = sharing
        self._limit = limit
        self._deadline_s = deadline_s
        self._stamp = stamp
        self._sleep = sleep
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._generated = KnownThumbnails(tell)
        self._failed: TTLCache[str, Generating] = TTLCache(FAILED_NAMES, FAILED_S)
        self._unreadable: TTLCache[str, Refusal] = TTLCache(FAILED_NAMES, UNREADABLE_S)

    def admitted(self, visitor: Visitor, request: ThumbRequest) -> AbstractContextManager[None]:
        """Take a place among those who wait, or raise Busy; to be held while resolving."""
        client = client_of(visitor.identity, request.client)
        return self._limit.admitted(client, _name(visitor, request), _folder(visitor, request))

    def hurry(self, visitor: Visitor, request: ThumbRequest) -> None:
        """Let a resolve that another was admitted for have its turn as if this visitor had asked first."""
        self._limit.hurry(client_of(visitor.identity, request.client), _name(visitor, request))

    def next_turn(self, visitor: Visitor, request: ThumbRequest) -> str | None:
        """Name the turn over all replicas that a resolve would take now, if it would take one."""
        name = _name(visitor, request)
        turn = self._turns.get(name)
        is_free = turn is None or not turn.locked()
        return name if _is_shared(request) and name not in self._generated and is_free else None

    async def resolve(self, visitor: Visitor, request: ThumbRequest) -> Resolution:
        """Give what Cloudreve says in the end; Generating only when it said nothing else until the deadline."""
        name, is_shared = _name(visitor, request), _is_shared(request)

        async def work() -> Resolution:
            return await self._surely(name, visitor, request)

        if name in self._generated:
            return await work()
        turn = self._turns.setdefault(name, asyncio.Lock())
        async with turn:
            if name not in self._generated:
                return await (self._sharing.take_turns(name, work, _is_grant) if is_shared else work())
        return await work()

    async def _surely(self, name: str, visitor: Visitor, request: ThumbRequest) -> Resolution:
        """Ask once more where a thumbnail could not be made: of a file without one, Cloudreve says so the second time.

        A second failure means that the original cannot be read: its storage does not give it, or not yet
        (docs/cloudreve.md, Generating).
        """
        asker = f"{name} {visitor.identity.subject}"
        unreadable = self._unreadable.get(asker)
        if unreadable is not None:
            return unreadable
        started = asyncio.get_running_loop().time()
        resolution = await self._patiently(name, visitor, request)
        is_soon = asyncio.get_running_loop().time() - started < self._deadline_s / 2
        if not is_soon or not _is_unmade(resolution):
            return resolution
        resolution = await self._patiently(name, visitor, request)
        if not _is_unmade(resolution):
            return resolution
        told = self._unreadable[asker] = replace(resolution, kind=RefusalKind.UNREADABLE)
        return told

    async def _patiently(self, name: str, visitor: Visitor, request: ThumbRequest) -> Resolution:
        """Ask again while the thumbnail is being generated for somebody else, and a few times where that fails."""
        failed = self._failed.get(name)
        if failed is not None:
            return failed
        started, attempt, failures = asyncio.get_running_loop().time(), 0, 0
        while True:
            async with self._limit.slot(name):
                resolution = await self._asked(visitor, request)
            if isinstance(resolution, Grant):
                self._generated.note(name, resolution)
            failures = failures + 1 if _has_failed(resolution) else 0
            if isinstance(resolution, Generating) and failures >= UPLOADS:
                self._failed[name] = resolution
                return resolution
            pause_s = backoff_s(attempt, random.random()) + _upload_pause_s(failures)  # noqa: S311 - jitter is no secret
            elapsed_s = asyncio.get_running_loop().time() - started
            if not isinstance(resolution, Generating) or elapsed_s + pause_s >= self._deadline_s:
                return resolution
            attempt += 1
            await self._sleep(pause_s)

    async def _asked(self, visitor: Visitor, request: ThumbRequest) -> Resolution:
        """Ask, and note what was known of changes before."""
        stamp = self._stamp()
        resolution = await self._cloudreve.resolve(request.uri, visitor.credentials)
        return resolution if isinstance(resolution, Generating) else replace(resolution, stamp=stamp)


def _has_failed(resolution: Resolution) -> bool:
    """Tell whether the thumbnail could not be stored; during a race that is so for those who lose it."""
    return isinstance(resolution, Generating) and resolution.code in UPLOAD_FAILED_CODES


def _is_unmade(resolution: Resolution) -> TypeGuard[Refusal]:
    """Tell whether Cloudreve has tried to make the thumbnail, and failed."""
    return isinstance(resolution, Refusal) and resolution.code == FAILED_CODE


def _upload_pause_s(failures: int) -> float:
    return UPLOAD_PAUSE_S * 2 ** (failures - 1) if failures else 0.0


def _is_shared(request: ThumbRequest) -> bool:
    """Tell whether everybody means the same file by this URI; elsewhere it depends on the user."""
    return request.uri.filesystem == "share"


def _name(visitor: Visitor, request: ThumbRequest) -> str:
    return turn_key("" if _is_shared(request) else visitor.identity.subject, request.uri)


def _folder(visitor: Visitor, request: ThumbRequest) -> str:
    """Name the folder below the root in which the file is: what is in it is kept by one storage, as a rule."""
    parents = request.uri.text.split("/")[:-1]
    return "/".join(("" if _is_shared(request) else visitor.identity.subject, *parents[2:4]))


def _is_grant(resolution: Resolution) -> bool:
    return isinstance(resolution, Grant)
