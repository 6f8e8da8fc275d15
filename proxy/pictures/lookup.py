"""The third step: the bytes that a grant names."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from proxy.cache.entry_loader import WantedEntry, entry_loader
from proxy.cache.tiers import Tiers
from proxy.coalesce.fair_queue import FairQueue
from proxy.coalesce.messages import Message, Received, seen
from proxy.coalesce.singleflight import Singleflight
from proxy.coalesce.work_sharing import WorkSharing
from proxy.domain.client import Client
from proxy.domain.entry import Entry
from proxy.domain.errors import Busy, ProxyError, TooSlow, Unreachable, UpstreamError
from proxy.domain.grant import Grant
from proxy.domain.keys import picture_key
from proxy.domain.picture import Picture, PictureId
from proxy.domain.picture_version import etag_in, version_of
from proxy.domain.source import Source
from proxy.domain.storage_errors import BrokenOff, StorageBusy
from proxy.observe.span import Kind, Observer, Span
from proxy.pictures.receipt import Receipt
from proxy.pictures.revalidation import Revalidation
from proxy.pictures.stream_buffer import StreamBuffer
from proxy.settings import PictureSettings
from proxy.upstream.image_answer import Arrival
from proxy.upstream.images import Images

REVALIDATE_S = 1.0
"""How long a visitor waits to hear whether a picture at hand has changed, and for the new one."""


class FoundPicture(NamedTuple):
    """A picture, or the download that brings it; where it came from; whether another had started the download."""

    picture: Picture | StreamBuffer
    source: Source
    collapsed: bool


class Pictures:
    """Looks a picture up, or fetches it in one flight per picture, from which every waiter reads as it grows."""

    def __init__(
        self,
        tiers: Tiers,
        images: Images,
        observer: Observer,
        singleflight: Singleflight[None],
        sharing: WorkSharing,
        limit: FairQueue,
        settings: PictureSettings,
        revalidation: Revalidation,
    ) -> None:
        self._tiers = tiers
        self._images = images
        self._observer = observer
        self._singleflight = singleflight
        self._settings = settings
        self._revalidation = revalidation
        self._sharing = sharing
        self._limit = limit
        self._downloads: dict[PictureId, StreamBuffer] = {}

    async def find(self, grant: Grant, client: Client, holder: str = "", *, is_new: bool = False) -> FoundPicture:
        """Give the picture, complete or arriving. The caller holds a live grant that names it, kept under `holder`.

        With a new grant Redis is asked but once: for the picture and for the lead in fetching it.
        """
        with self._observer.span("lookup", entry="picture") as span:
            found = await self._found(grant, client, holder, is_new=is_new)
            span.note(source=found.source.value, collapsed=found.collapsed)
            return found

    async def _found(self, grant: Grant, client: Client, holder: str, *, is_new: bool) -> FoundPicture:
        key = picture_key(grant.picture)
        find = self._tiers.get_local if is_new and grant.own else self._tiers.get
        kept = await find(key, (Picture,), self._ttl_s, client)
        kept = kept if kept is not None and self._fits(kept[0]) else None
        if kept is not None and (_is_seen(grant, kept[0]) or self._revalidation.is_current(holder, kept[0])):
            return FoundPicture(kept[0], kept[1], collapsed=False)
        if kept is not None and self._revalidation.may_bridge(kept[0]):
            return await self._revalidated(grant, kept[0], client)
        return self._download(grant, kept[0] if kept else None, client)

    def show(self, holder: str, picture: PictureId, version: str) -> None:
        """Take note of which version of a foreign picture the holder of a grant is shown."""
        self._revalidation.show(holder, picture, version)

    async def _revalidated(self, grant: Grant, known: Picture, client: Client) -> FoundPicture:
        """Ask whether it has changed; show what is known where storage fails or takes its time."""
        if not self._revalidation.has_failed(known):
            with suppress(TimeoutError, Unreachable, TooSlow, StorageBusy, Busy, BrokenOff):
                async with asyncio.timeout(REVALIDATE_S):
                    found = self._download(grant, known, client)
                    if isinstance(found.picture, StreamBuffer):
                        await found.picture.whole()
                return found
            self._revalidation.fail(known)
        return FoundPicture(known, Source.STALE, collapsed=False)

    def _download(self, grant: Grant, stale: Picture | None, client: Client) -> FoundPicture:
        def load() -> Coroutine[Any, Any, None]:
            download = self._downloads[grant.picture] = StreamBuffer()
            return self._bring(grant, stale, download, client)

        _, collapsed = self._singleflight.join(grant.picture, load)
        if collapsed:
            self._limit.hurry(client, grant.picture)
        return FoundPicture(self._downloads[grant.picture], Source.UPSTREAM, collapsed)

    async def _bring(self, grant: Grant, stale: Picture | None, download: StreamBuffer, client: Client) -> None:
        """Carry one download to its end, good or bad."""

        async def accept(entry: Entry, received: Received | None) -> Picture | None:
            if not isinstance(entry, Picture) or not self._fits(entry):
                return None
            if not _is_seen(grant, entry) and received != seen(entry.version):
                return None
            download.source = self._tiers.farthest
            self._revalidation.note(entry)
            return entry

        make, ttl_s = partial(self._load, grant, stale, download), self._ttl_s
        wanted = WantedEntry(picture_key(grant.picture), client, accept, make, ttl_s, ttl_s, _seen)
        try:
            with self._limit.admitted(client, grant.picture, _storage(grant)):
                picture = await self._sharing.share(entry_loader(self._tiers, wanted))
            download.finish(picture)
            await download.tell()
        except ProxyError as error:
            download.fail(error)
        except BaseException as error:
            failure = ProxyError("The download ended unexpectedly.")
            failure.__cause__ = error
            download.fail(failure)
            raise
        finally:
            del self._downloads[grant.picture]

    async def _load(self, grant: Grant, stale: Picture | None, download: StreamBuffer) -> Picture:
        """Fetch; readers are told before the tiers are."""
        async with self._limit.slot(grant.picture):
            with self._observer.span("fetch", Kind.CALL) as call:
                picture = await self._fetch(grant, stale, download, call)
                call.outcome = "revalidated" if picture is stale else "picture"
        download.finish(picture)
        self._revalidation.note(picture)
        return picture

    async def _fetch(self, grant: Grant, stale: Picture | None, download: StreamBuffer, call: Span) -> Picture:
        async with self._images.fetch(grant.url, etag_in(stale.version) if stale else "") as arrival:
            if arrival is None:
                assert stale is not None  # noqa: S101 - only a validator brings 304
                return stale
            return await self._receive(grant.picture, arrival, download, call)

    async def _receive(self, name: PictureId, arrival: Arrival, download: StreamBuffer, call: Span) -> Picture:
        """Take the bytes in, on to the readers as soon as they prove to be a picture, but for the last of them."""
        self._check_size(arrival.length_bytes or 0)
        receipt = Receipt(arrival, download, self._settings.max_pixels)
        async for chunk in arrival.chunks:
            call.note(received_bytes=receipt.size_bytes + len(chunk))
            self._check_size(receipt.size_bytes + len(chunk))
            receipt.take(chunk)
        kind, body = receipt.finish()
        return Picture(name, kind, version_of(arrival.etag, body), body)

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._settings.max_bytes:
            raise UpstreamError("The picture is larger than this gateway accepts.")

    def _ttl_s(self, entry: Entry) -> float:
        return self._settings.ttl_s if isinstance(entry, Picture) and self._fits(entry) else 0.0

    def _fits(self, picture: Picture) -> bool:
        """Tell whether a picture from a tier is one that would be accepted from upstream."""
        return len(picture.body) <= self._settings.max_bytes


def _storage(grant: Grant) -> str:
    """Name the host that keeps a picture; empty where Cloudreve sends it, whichever storage may be behind."""
    return "" if grant.own else urlsplit(grant.url).netloc.lower()


def _is_seen(grant: Grant, picture: Picture) -> bool:
    """Tell whether the picture at hand is the one that this grant names: a foreign one may have changed meanwhile."""
    return grant.own or grant.version == picture.version


def _seen(picture: Picture) -> Message:
    """Tell the other replicas which version has just been seen."""
    return seen(picture.version)
