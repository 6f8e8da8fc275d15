"""A visitor's connection, down to the bytes: equal requests are equal to the last byte."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

PATIENCE_S = 20.0


class Reply(NamedTuple):
    """One answer; status 0 for a connection that was cut."""

    status: int
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def get(self, name: str) -> str:
        """Give a field's value, of several joined by commas; empty where there is none."""
        return ", ".join(self.all(name))

    def all(self, name: str) -> list[str]:
        """Give the values of a field."""
        return [value for key, value in self.fields if key == name]


CUT = Reply(0)


class Wire:
    """One connection, opened anew when it is gone."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def say(self, pieces: Sequence[bytes], heads: Sequence[bool]) -> list[Reply]:
        """Send pieces one by one, and read an answer for each of `heads`, which tells whether it has no body."""
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await self._opened()
            try:
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)  # so that the next one arrives by itself, most times
                return [await self._read(reader, is_head=head) for head in heads]
            except (ConnectionError, asyncio.IncompleteReadError):
                await self.close()
                return [CUT] * len(heads)

    async def close(self) -> None:
        """Hang up."""
        if self._ends is not None:
            self._ends[1].close()
            with suppress(ConnectionError):
                await self._ends[1].wait_closed()
            self._ends = None

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._ends is not None and self._ends[0].at_eof():
            await self.close()
        if self._ends is None:
            self._ends = await asyncio.open_connection("127.0.0.1", self._port)
        return self._ends

    async def _read(self, reader: asyncio.StreamReader, *, is_head: bool) -> Reply:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        status = int(first.split(" ")[1])
        fields = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        reply = Reply(status, fields)
        if is_head or status in (204, 304):
            return reply
        body = await reader.readexactly(int(reply.get("content-length")))
        return reply._replace(body=body)
