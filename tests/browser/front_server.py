"""A relay in front of a server on loopback, with TLS or without; where it leads may be said after it has opened."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self

from tests.harness.stream_server import ended, stream_server


class FrontServer:
    """Passes bytes both ways, so that a server may be told its address before it starts."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._stack = AsyncExitStack()
        self._heard: list[bytes] = []
        self._changed = asyncio.Condition()
        self.port = 0
        self.leads_to = 0
        """A port on loopback."""

    async def __aenter__(self) -> Self:
        self.port = await self._stack.enter_async_context(stream_server(self._accompany, self._tls))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def heard(self, text: bytes, times: int) -> None:
        """Wait until so many of the pieces that have come from visitors had this text."""
        async with self._changed:
            await self._changed.wait_for(lambda: sum(text in piece for piece in self._heard) >= times)

    def forget(self) -> None:
        """Begin to listen anew."""
        self._heard.clear()

    async def _accompany(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner: asyncio.StreamWriter | None = None
        try:
            inner_reader, inner = await asyncio.open_connection("127.0.0.1", self.leads_to)
            await asyncio.gather(_carry(reader, inner, self._hear), _carry(inner_reader, writer))
        finally:
            for each in filter(None, (writer, inner)):
                await ended(each)

    async def _hear(self, piece: bytes) -> None:
        async with self._changed:
            self._heard.append(piece)
            self._changed.notify_all()


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hear: Callable[[bytes], Awaitable[None]] | None = None
) -> None:
    """Carry what comes; when one side has said all, the other is told."""
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
            if hear is not None:
                await hear(data)
    writer.close()
