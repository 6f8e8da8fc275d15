"""The bytes of one picture while they arrive: one writer, any number of readers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from proxy.domain.errors import ProxyError
from proxy.domain.picture import Picture, PictureHead
from proxy.domain.source import Source


class StreamBuffer:
    """A growing buffer. Every reader gets all bytes from the first on, at its own pace."""

    def __init__(self) -> None:
        self.source = Source.UPSTREAM
        """Where it turned out to come from, once it is opened."""
        self._head: PictureHead | None = None
        self._chunks: list[bytes] = []
        self._fed_bytes = 0
        self._is_complete = False
        self._picture: Picture | None = None
        self._error: ProxyError | None = None
        self._grown = asyncio.Event()
        self._tells: dict[str, Callable[[PictureHead], Awaitable[None]]] = {}

    def begin(self, head: PictureHead) -> None:
        """Announce that it is a picture."""
        self._head = head
        self._wake()

    def feed(self, chunk: bytes) -> None:
        """Add bytes."""
        self._chunks.append(chunk)
        self._fed_bytes += len(chunk)
        self._wake()

    def finish(self, picture: Picture) -> None:
        """End well: readers get the rest of the complete picture. Saying so again changes nothing."""
        if not self._is_complete and self._fed_bytes < len(picture.body):
            self._chunks.append(picture.body[self._fed_bytes :])
        self._head, self._is_complete, self._picture = picture.head, True, picture
        self._wake()

    def fail(self, error: ProxyError) -> None:
        """End badly: readers get the error, wherever they are."""
        self._error = error
        self._wake()

    def when_whole(self, key: str, tell: Callable[[PictureHead], Awaitable[None]]) -> None:
        """Have somebody told, once per key, what is known with the last byte only."""
        self._tells.setdefault(key, tell)

    async def tell(self) -> None:
        """Tell those who wanted to know; for the writer, after it has finished."""
        assert self._head is not None  # noqa: S101 - `finish` sets it
        for tell in self._tells.values():
            await tell(self._head)

    async def opened(self) -> PictureHead:
        """Wait until it is certain to be a picture, or raise why it is none."""
        while True:
            self._check()
            if self._head is not None:
                return self._head
            await self._grown.wait()

    async def whole(self) -> Picture:
        """Wait until all of it is there, or raise why it will not be."""
        while self._picture is None:
            self._check()
            await self._grown.wait()
        return self._picture

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the bytes as they arrive; raise the error that cut them off."""
        position = 0
        while True:
            while position < len(self._chunks):
                yield self._chunks[position]
                position += 1
            self._check()
            if self._is_complete:
                return
            await self._grown.wait()

    def _check(self) -> None:
        """Raise the error that ended it, without the frames of earlier readers: they would pile up and stay alive."""
        if self._error is not None:
            raise self._error.with_traceback(None)

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
