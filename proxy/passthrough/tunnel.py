"""A connection that is HTTP no longer: bytes as they come, and no more of them than are taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import StreamWriter

from proxy.domain.errors import UpstreamError

MAX_HELD_BYTES = 64 * 1024
"""How much is taken in before somebody takes it out again."""


class ReceiveBuffer:
    """The bytes of one connection. To aiohttp's protocol it is a WebSocket parser, whose two methods it has."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = bytearray()
        self._is_ended = False
        self._pubsub = asyncio.Event()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take in what has come; aiohttp asks whether that was the end, and for what is left over."""
        self._held += data
        self._pubsub.set()
        if len(self._held) >= MAX_HELD_BYTES:
            self._transport.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        """Take note that the other side is gone."""
        self._is_ended = True
        self._pubsub.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give what comes until the end."""
        while self._held or not self._is_ended:
            await self._pubsub.wait()
            self._pubsub.clear()
            if self._held:
                chunk, self._held = bytes(self._held), bytearray()
                yield chunk
            if not self._transport.is_closing():
                self._transport.resume_reading()


class TunnelEnd:
    """Cloudreve's end of a tunnel, on a connection that it has agreed to switch."""

    def __init__(self, connection: Connection | None) -> None:
        protocol = connection.protocol if connection is not None else None
        if protocol is None or protocol.transport is None:
            raise UpstreamError("Cloudreve closed the connection that it had just agreed to keep.")
        self._wire = ReceiveBuffer(protocol.transport)
        self._writer = StreamWriter(protocol, asyncio.get_running_loop())
        protocol.set_parser(self._wire, aiohttp.EMPTY_PAYLOAD)

    def chunks(self) -> AsyncIterator[bytes]:
        """Give what Cloudreve says."""
        return self._wire.chunks()

    async def write(self, chunk: bytes) -> None:
        """Tell Cloudreve something, no faster than it listens; a ConnectionError when it does not any more."""
        await self._writer.write(chunk)
        await self._writer.drain()
