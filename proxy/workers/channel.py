"""The messages between a worker and its parent, over a pair of sockets that no other process has.

The parent sends a length and an order, or length 0 to ask for a report; the worker answers each with a length and a
body, in their order. Either learns of the other's end by the channel's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from socket import socket

import msgspec

from proxy.admin.status import Report
from proxy.domain.warming import WarmOrder, WarmReply

_LENGTH_BYTES = 4


async def answer(end: socket, report: Callable[[], Report], warm: Callable[[WarmOrder], Awaitable[WarmReply]]) -> None:
    """Report whenever asked and take orders, until the parent is gone."""
    reader, writer = await asyncio.open_connection(sock=end)
    try:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                order = await _read(reader)
                reply = await warm(msgspec.msgpack.decode(order, type=WarmOrder)) if order else report()
                _write(writer, msgspec.msgpack.encode(reply))
                await writer.drain()
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(_LENGTH_BYTES)))


def _write(writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(len(body).to_bytes(_LENGTH_BYTES) + body)


class Channel:
    """The parent's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiters: deque[asyncio.Future[bytes]] = deque()

    @classmethod
    async def opened(cls, end: socket) -> Channel:
        """Take the end over."""
        return cls(*await asyncio.open_connection(sock=end))

    async def ask(self) -> Report:
        """Give the worker's next report; raise ConnectionError when there is none to come."""
        return msgspec.msgpack.decode(await self._answered(b""), type=Report)

    async def warm(self, order: WarmOrder) -> WarmReply:
        """Have the worker warm a folder; give what it says, or raise ConnectionError."""
        return msgspec.msgpack.decode(await self._answered(msgspec.msgpack.encode(order)), type=WarmReply)

    async def _answered(self, order: bytes) -> bytes:
        if self._writer.is_closing():
            raise ConnectionResetError
        waiter: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        _write(self._writer, order)
        return await waiter

    async def read(self) -> None:
        """Hand answers to those who asked, in their order, until the worker is gone."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    body = await _read(self._reader)
                    waiter = self._waiters.popleft()
                    if not waiter.done():  # else nobody waits for it any more
                        waiter.set_result(body)
        finally:
            self._writer.close()
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_exception(ConnectionResetError())
