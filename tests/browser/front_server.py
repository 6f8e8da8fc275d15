"""A relay in front of a server on loopback, with TLS or without; where it leads may be said after it has opened."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.harness.relay import abort


class FrontServer:
    """Passes bytes both ways, so that a server may be told its address before it starts."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()
        self._heard: list[bytes] = []
        self._changed = asyncio.Condition()
        self.port = 0
        self.leads_to = 0
        """A port on loopback."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._let_in, "127.0.0.1", 0, ssl=self._tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for visit in self._visits:
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    async def heard(self, text: bytes, times: int) -> None:
        """Wait until so many of the pieces that have come from visitors had this text."""
        async with self._changed:
            await self._changed.wait_for(lambda: sum(text in piece for piece in self._heard) >= times)

    def forget(self) -> None:
        """Begin to listen anew."""
        self._heard.clear()

    def _let_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.create_task(self._accompany(reader, writer))
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)

    async def _accompany(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.leads_to)
        try:
            await asyncio.gather(_carry(reader, inner_writer, self._hear), _carry(inner_reader, writer))
        finally:
            for each in (writer, inner_writer):
                abort(each.transport)

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
