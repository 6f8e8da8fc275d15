"""A TCP relay in front of a server: a test may hold back replies, cut connections, and wait for requests."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self

from tests.harness.stream_server import abort, ended, stream_server


class Relay:
    """Passes bytes both ways between loopback clients, with TLS or without, and a loopback port.

    The port may be named after the relay has opened, so that a server can be told its address before it starts.
    """

    def __init__(self, upstream_port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.upstream_port = upstream_port
        self._tls = tls
        self._is_shut = False
        self._open = asyncio.Event()
        self._open.set()
        self._held = asyncio.Event()
        self._stack = AsyncExitStack()
        self._writers: list[asyncio.StreamWriter] = []
        self._heard: list[bytes] = []
        self._has_heard = asyncio.Condition()
        self.port = 0

    async def __aenter__(self) -> Self:
        self.port = await self._stack.enter_async_context(stream_server(self._join, self._tls))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def hold(self) -> None:
        """Keep replies back from now on."""
        self._open.clear()
        self._held.clear()

    def let_go(self) -> None:
        """Pass on what was held and what comes."""
        self._open.set()

    def cut(self) -> None:
        """Break every connection, replies that are held included."""
        for writer in self._writers:
            abort(writer.transport)
        self._writers.clear()

    def shut(self) -> None:
        """Break every connection, and every one that is opened from now on: the way is gone."""
        self._is_shut = True
        self.cut()

    def reopen(self) -> None:
        """Let new connections in again."""
        self._is_shut = False

    async def holds(self) -> None:
        """Wait until a reply is being held."""
        await self._held.wait()

    async def heard(self, text: bytes, times: int) -> None:
        """Wait until so many of the pieces that clients have sent had this text."""
        async with self._has_heard:
            await self._has_heard.wait_for(lambda: sum(text in piece for piece in self._heard) >= times)

    def forget(self) -> None:
        """Begin to listen anew."""
        self._heard.clear()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Accompany one connection to its end."""
        if self._is_shut:
            abort(writer.transport)
            return
        self._writers.append(writer)
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        except OSError:
            abort(writer.transport)
            return
        self._writers.append(up_writer)
        try:
            await asyncio.gather(self._pass(reader, up_writer), self._pass_replies(up_reader, writer))
        finally:
            await ended(up_writer)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
                async with self._has_heard:
                    self._heard.append(data)
                    self._has_heard.notify_all()
            writer.close()

    async def _pass_replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if not self._open.is_set():
                    self._held.set()
                    await self._open.wait()
                writer.write(data)
                await writer.drain()
            writer.close()
