"""A server of bare bytes whose connections end with it, so that no transport is left for the garbage collector."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LIMIT_BYTES = 2**20
"""How much a reader looks through for a separator."""


@asynccontextmanager
async def stream_server(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Talk to each client that connects to the port given, on loopback; a talk still under way is cancelled.

    Connections are noted when they are accepted: a task that is cancelled before its first step could close none.
    """
    talks: list[asyncio.Future[None]] = []
    writers: list[asyncio.StreamWriter] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        talks.append(asyncio.ensure_future(talk(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls, limit=LIMIT_BYTES)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for each in talks:
            each.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        for writer in writers:
            await ended(writer)


async def ended(writer: asyncio.StreamWriter) -> None:
    """Break a connection, and wait until it is closed."""
    abort(writer.transport)
    with suppress(OSError):
        await writer.wait_closed()


def abort(transport: asyncio.WriteTransport) -> None:
    """Break a connection; one with TLS that has ended already raises before Python 3.11.4."""
    with suppress(AttributeError):
        transport.abort()
