"""A relay between gateways and Cloudreve that never leaves Cloudreve in the middle of a resolve.

When the client of a resolve leaves, Cloudreve 4.14.0 goes on generating the thumbnail, and may attach it to the file of
another user (docs/cloudreve.md, Generating). A drill that kills gateways would thus make Cloudreve itself show pictures
that nobody was granted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from deploy.benchmarks.port import free_port

RESOLVE = b"GET /api/v4/file/thumb?"
PATIENCE_S = 60.0
_CHUNK = 64 * 1024


class SteadyRelay:
    """Listens on loopback, and counts the resolves that a gateway has left by itself."""

    def __init__(self, cloudreve_url: str) -> None:
        target = urlsplit(cloudreve_url)
        self._target = (target.hostname or "", target.port or 80)
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.left = 0
        """Resolves whose connection a gateway closed before the answer, except while one was being killed."""
        self.is_killed = False
        """Set while a gateway is being killed."""
        self._serving: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[SteadyRelay]:
        """Relay connections inside the block; leaving it waits for the answers to resolves under way."""
        async with await asyncio.start_server(self._accept, "127.0.0.1", self._port):
            yield self
        await asyncio.gather(*self._serving)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_cloudreve, to_cloudreve = await asyncio.open_connection(*self._target)
        answered = asyncio.Event()
        answered.set()
        answers = asyncio.create_task(_pass_answers(from_cloudreve, writer, answered))
        with suppress(ConnectionError):
            while chunk := await reader.read(_CHUNK):
                if chunk.startswith(RESOLVE):
                    answered.clear()
                to_cloudreve.write(chunk)
                await to_cloudreve.drain()
        if not answered.is_set():
            self.left += not self.is_killed
            with suppress(TimeoutError):
                await asyncio.wait_for(answered.wait(), PATIENCE_S)
        for each in (to_cloudreve, writer):
            each.close()
        await answers


async def _pass_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answered: asyncio.Event) -> None:
    """Pass answers on, and read them to the end where the gateway is gone; set `answered` at each piece."""
    with suppress(ConnectionError):
        while chunk := await reader.read(_CHUNK):
            answered.set()
            if not writer.is_closing():
                writer.write(chunk)
                with suppress(ConnectionError):
                    await writer.drain()
    answered.set()
    writer.close()
