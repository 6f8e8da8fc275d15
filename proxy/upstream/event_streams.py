"""Cloudreve's live events: what changes in a folder, as long as somebody listens (docs/cloudreve.md, Events)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from proxy.domain.errors import Refused, UpstreamError
from proxy.domain.file_uri import FileUri
from proxy.domain.refusal import Refusal, RefusalKind
from proxy.observe.span import Kind, Observer
from proxy.settings import CloudreveSettings
from proxy.upstream.answers import read_data
from proxy.upstream.breaker import UpstreamBreaker
from proxy.upstream.cloudreve import MAX_ANSWER_BYTES, translated
from proxy.upstream.server_sent_events import EventParser, ServerSentEvent

SILENCE_S = 45.0
"""Cloudreve says something each 30 s; a connection without a word for longer is taken for broken."""

_SUBSCRIBED, _RESUMED, _EVENT = "subscribed", "resumed", "event"


class FileEvent(msgspec.Struct, frozen=True):
    """A change of a file or folder. Paths begin at the folder that is listened to, and are not encoded."""

    type: str = ""
    """`create`, `modify`, `rename` or `delete`."""
    path: str = msgspec.field(default="", name="from")
    to: str = ""
    """Where it is after a rename or a move."""

    @property
    def is_content(self) -> bool:
        """Whether a file has a new content, or a new thumbnail: it is where it was."""
        return self.type in ("create", "modify") and bool(self.path) and self.to in ("", self.path)


class EventStream:
    """The stream of one folder's events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._chunks = response.content
        self._parser = EventParser()
        self._heard: list[ServerSentEvent] = []
        self.since = -math.inf
        """When, by the loop's clock, the last events may have come at the earliest: those that waited came later."""
        self.is_resumed = False
        """Whether Cloudreve has kept what happened since the same client left; else that cannot be known."""

    async def begin(self) -> None:
        """Wait for Cloudreve's word that it has taken the subscription."""
        await self._hear()
        if not self._heard or self._heard[0].name not in (_SUBSCRIBED, _RESUMED):
            raise UpstreamError("Cloudreve's events begin with something else than a subscription.")
        self.is_resumed = self._heard.pop(0).name == _RESUMED

    async def next(self) -> list[FileEvent] | None:
        """Wait for events, and give those that come together; None when Cloudreve has ended the stream."""
        while not (found := [_file_event(event.data) for event in self._heard if event.name == _EVENT]):
            if not await self._hear():
                return None
        self._heard = []
        return found

    async def leave(self) -> list[FileEvent] | None:
        """End the stream; give the last events, None where it cannot be known that these are all.

        Cloudreve ends its side when it hears of our end, so that nothing is on its way any more. TLS has no such word.
        """
        connection = self._response.connection
        transport = connection.transport if connection is not None else None
        if transport is None or not transport.can_write_eof():
            return None
        transport.write_eof()
        found: list[FileEvent] = []
        while (events := await self.next()) is not None:
            found += events
        return found

    async def _hear(self) -> bool:
        """Wait for any word; False at the end."""
        self._heard = []
        while not self._heard:
            try:
                chunk = self._chunks.read_nowait()
                if not chunk:
                    chunk = await self._chunks.readany()
                    self.since = asyncio.get_running_loop().time()
            except (TimeoutError, aiohttp.ClientError) as error:
                raise translated(error) from error
            if not chunk:
                return False
            self._heard = self._parser.feed(chunk)
        return True


class EventStreams:
    """Listens to folders. Token and client id go to Cloudreve alone: whoever knows both takes events away."""

    def __init__(
        self, session: aiohttp.ClientSession, observer: Observer, settings: CloudreveSettings, breaker: UpstreamBreaker
    ) -> None:
        self._session = session
        self._observer = observer
        self._base = settings.url.rstrip("/")
        self._settings = settings
        self._breaker = breaker

    @asynccontextmanager
    async def listen(self, folder: FileUri, bearer: str, client_id: str) -> AsyncIterator[EventStream]:
        """Listen to a folder and all that is in it, as the holder of a token; raise Refused where that may not be."""
        response = await self._opened(folder, bearer, client_id)
        try:
            stream = EventStream(response)
            async with _in_time(self._settings.whoami_timeout_s):
                await stream.begin()
            yield stream
        finally:
            response.close()

    async def _opened(self, folder: FileUri, bearer: str, client_id: str) -> aiohttp.ClientResponse:
        target = URL(f"{self._base}/api/v4/file/events?uri={quote(folder.text, safe='')}", encoded=True)
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "X-Cr-Client-Id": client_id}
        headers["Authorization"] = f"Bearer {bearer}"
        connect_s, answer_s = self._settings.connect_timeout_s, self._settings.whoami_timeout_s
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_s, sock_read=SILENCE_S)
        with self._observer.span("events", Kind.CALL) as call, self._breaker.call():
            async with _in_time(answer_s):
                response = await self._session.get(target, headers=headers, timeout=timeout, allow_redirects=False)
                await _check(response)
            call.outcome = "stream"
            return response


@asynccontextmanager
async def _in_time(seconds: float) -> AsyncIterator[None]:
    """Translate what goes wrong, and what takes too long."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (TimeoutError, aiohttp.ClientError) as error:
        raise translated(error) from error


async def _check(response: aiohttp.ClientResponse) -> None:
    """Raise what is said in place of events; the connection is closed then."""
    if response.content_type == "text/event-stream":
        return
    try:
        if response.status == HTTPStatus.NOT_FOUND:  # a Cloudreve that has no events
            raise Refused(Refusal(RefusalKind.NOT_FOUND, 0, ""))
        read_data(await response.content.read(MAX_ANSWER_BYTES), object)
        raise UpstreamError("Cloudreve's answer holds no events.")
    finally:
        response.close()


def _file_event(data: str) -> FileEvent:
    """Read an event; one that cannot be understood says that anything in the folder may have changed."""
    try:
        return msgspec.json.decode(data, type=FileEvent)
    except (msgspec.MsgspecError, RecursionError):
        return FileEvent()
