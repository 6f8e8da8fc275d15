"""The third step: the bytes that a grant names."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from proxy.cache.tiers import Tiers
from proxy.coalesce.distributed_singleflight import Alone, Cluster
from proxy.coalesce.fair_queue import FairLimit
from proxy.coalesce.singleflight import Flights
from proxy.domain.client import Client
from proxy.domain.codec import encode
from proxy.domain.errors import ProxyError, UpstreamError
from proxy.domain.keys import picture_key
from proxy.domain.model import Entry, Grant, Picture, PictureHead, PictureId, Source
from proxy.domain.picture_version import etag_in, version_of
from proxy.domain.sniff import SNIFF_BYTES, media_type
from proxy.observe.metrics import Metrics
from proxy.pictures.proof.body import Body
from proxy.pictures.proof.proof import Proof
from proxy.pictures.stream_buffer import Download
from proxy.settings import PictureSettings
from proxy.upstream.images import Arrival, Images

_SEEN = b"seen "
"""Before a version in a message; no entry begins like this."""
HELD_BYTES = 64
"""So many bytes of the end are held back until the whole is proven: without them no transfer looks complete."""


class FoundPicture(NamedTuple):
    """A picture, or the download that brings it; where it came from; whether another had started the download."""

    picture: Picture | Download
    source: Source
    collapsed: bool


class Pictures:
    """Looks a picture up, or fetches it in one flight per picture, from which every waiter reads as it grows."""

    def __init__(
        self,
        tiers: Tiers,
        images: Images,
        metrics: Metrics,
        flights: Flights[None],
        cluster: Cluster | Alone,
        limit: FairLimit,
        settings: PictureSettings,
    ) -> None:
        self._tiers = tiers
        self._images = images
        self._metrics = metrics
        self._flights = flights
        self._settings = settings
        self._cluster = cluster
        self._limit = limit
        self._downloads: dict[PictureId, Download] = {}

    async def find(self, grant: Grant, client: Client, *, is_new: bool = False) -> FoundPicture:
        """Give the picture, complete or arriving. Whoever calls holds a live grant that names it.

        With a new grant Redis is asked but once: for the picture and for the lead in fetching it.
        """
        key = picture_key(grant.picture)
        if is_new and grant.own:
            entry = self._tiers.lookup(key)
            kept = (entry, Source.MEMORY) if isinstance(entry, Picture) else None
        else:
            kept = await self._tiers.find(key, (Picture,), self._ttl_s, client)
            kept = kept if kept is not None and self._fits(kept[0]) else None
        if kept is not None and _is_seen(grant, kept[0]):
            found = FoundPicture(kept[0], kept[1], collapsed=False)
        else:
            found = self._download(grant, kept[0] if kept else None, client)
        self._metrics.found("picture", found.source)
        return found

    def _download(self, grant: Grant, stale: Picture | None, client: Client) -> FoundPicture:
        def load() -> Coroutine[Any, Any, None]:
            download = self._downloads[grant.picture] = Download()
            return self._bring(grant, stale, download, client)

        _, collapsed = self._flights.join(grant.picture, load)
        if collapsed:
            self._metrics.collapsed("picture")
            self._limit.hurry(client, grant.picture)
        return FoundPicture(self._downloads[grant.picture], Source.UPSTREAM, collapsed)

    async def _bring(self, grant: Grant, stale: Picture | None, download: Download, client: Client) -> None:
        """Carry one download to its end, good or bad."""
        key = picture_key(grant.picture)

        async def find(left: bytes) -> Picture | None:
            message = b"" if left.startswith(_SEEN) else left
            picture = await self._tiers.find_shared(key, self._ttl_s, message, client)
            if not isinstance(picture, Picture) or not self._fits(picture):
                return None
            if not _is_seen(grant, picture) and _told(picture) != left:
                return None
            download.source = Source.REDIS
            return picture

        def keep(picture: Picture) -> tuple[bytes, float]:
            return encode(picture), self._settings.ttl_s

        async def load() -> Picture:
            return await self._load(grant, stale, download, client)

        try:
            with self._limit.admitted(client, grant.picture, _storage(grant)):
                picture = await self._cluster.share(key, find, load, _told, keep)
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

    async def _load(self, grant: Grant, stale: Picture | None, download: Download, client: Client) -> Picture:
        """Fetch and keep; readers are told before Redis is."""
        async with self._limit.slot(grant.picture):
            with self._metrics.upstream("fetch") as call:
                picture = await self._fetch(grant, stale, download)
                call.outcome = "revalidated" if picture is stale else "picture"
        download.finish(picture)
        self._tiers.keep_here(picture_key(picture.id), picture, self._settings.ttl_s, client)
        return picture

    async def _fetch(self, grant: Grant, stale: Picture | None, download: Download) -> Picture:
        async with self._images.fetch(grant.url, etag_in(stale.version) if stale else "") as arrival:
            if arrival is None:
                assert stale is not None  # noqa: S101 - only a validator brings 304
                return stale
            return await self._receive(grant.picture, arrival, download)

    async def _receive(self, name: PictureId, arrival: Arrival, download: Download) -> Picture:
        """Take the bytes in, on to the readers as soon as they prove to be a picture, but for the last of them."""
        self._check_size(arrival.length_bytes or 0)
        receipt = _Receipt(arrival, download, self._settings.max_pixels)
        async for chunk in arrival.chunks:
            self._metrics.fetched(len(chunk))
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


def _told(picture: Picture) -> bytes:
    """Say to the other replicas which version has just been seen."""
    return _SEEN + picture.version.encode("utf-8", "surrogatepass")


def _proven(head: bytes) -> str:
    kind = media_type(head)
    if kind is None:
        raise UpstreamError("What came from the image URL is not a picture.")
    return kind


class _Receipt:
    """A picture that arrives: proven step by step, and handed on but for its end."""

    def __init__(self, arrival: Arrival, download: Download, max_pixels: int) -> None:
        self._arrival = arrival
        self._download = download
        self._max_pixels = max_pixels
        self._body = Body()
        self._kind = ""
        self._proof: Proof | None = None
        self._sent_bytes = 0

    @property
    def size_bytes(self) -> int:
        """Tell how much has come."""
        return len(self._body.data)

    def take(self, chunk: bytes) -> None:
        """Add bytes; readers hear of the picture once its kind and size are known."""
        self._body.data += chunk
        if self._proof is None and self.size_bytes >= SNIFF_BYTES:
            self._proof = self._begin()
        if self._proof is not None:
            self._proof.advance()
            if self._proof.is_measured:
                self._hand_on()

    def finish(self) -> tuple[str, bytes]:
        """Give kind and bytes of the whole; raise UpstreamError where it is none."""
        proof = self._proof or self._begin()
        proof.finish()
        return self._kind, bytes(self._body.data)

    def _begin(self) -> Proof:
        self._kind = _proven(bytes(self._body.data[:SNIFF_BYTES]))
        return Proof(self._kind, self._body, self._max_pixels)

    def _hand_on(self) -> None:
        length = self._arrival.length_bytes
        upto = min(self.size_bytes, (length or self.size_bytes) - HELD_BYTES)
        if upto > self._sent_bytes:
            if not self._sent_bytes:
                self._download.begin(PictureHead(self._kind, self._arrival.etag, length))
            self._download.feed(bytes(self._body.data[self._sent_bytes : upto]))
            self._sent_bytes = upto
