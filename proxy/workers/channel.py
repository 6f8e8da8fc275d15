"""The messages between a worker and its parent, over a pair of sockets that no other process has.

The parent asks with one byte; the worker answers with a length and a report. Either learns of the other's end by the
channel's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from socket import socket

import msgspec

from proxy.admin.status import Report

_QUESTION = b"?"
_LENGTH_BYTES = 4


async def answer(end: socket, report: Callable[[], Report]) -> None:
    """Report whenever asked, until the parent is gone."""
    reader, writer = await asyncio.open_connection(sock=end)
    try:
        with suppress(ConnectionError):
            while await reader.read(1):
                body = msgspec.msgpack.encode(report())
                writer.write(len(body).to_bytes(_LENGTH_BYTES) + body)
                await writer.drain()
    finally:
        writer.close()


class Channel:
    """The parent's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiters: deque[asyncio.Future[Report]] = deque()

    @classmethod
    async def opened(cls, end: socket) -> Channel:
        """Take the end over."""
        return cls(*await asyncio.open_connection(sock=end))

    async def ask(self) -> Report:
        """Give the worker's next report; raise ConnectionError when there is none to come."""
        if self._writer.is_closing():
            raise ConnectionResetError
        waiter: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._writer.write(_QUESTION)
        return await waiter

    async def read(self) -> None:
        """Hand reports to those who asked, in their order, until the worker is gone."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES))
                    report = msgspec.msgpack.decode(await self._reader.readexactly(length), type=Report)
                    waiter = self._waiters.popleft()
                    if not waiter.done():  # else nobody waits for it any more
                        waiter.set_result(report)
        finally:
            self._writer.close()
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_exception(ConnectionResetError())
