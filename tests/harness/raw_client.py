"""A visitor who writes bytes to a connection, and reads answers off it one by one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.harness.gateways import GatewayClient
from tests.harness.sites import thumb

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as it was read."""

    head: bytes
    body: bytes = field(repr=False)

    @property
    def status(self) -> int:
        """Read the status."""
        return int(self.head.split(b" ", 2)[1])

    @property
    def fields(self) -> dict[str, list[str]]:
        """Give the values of each field, by its name as written."""
        found: dict[str, list[str]] = {}
        for line in self.head.decode().splitlines()[1:-1]:
            name, _, value = line.partition(": ")
            found.setdefault(name, []).append(value)
        return found

    def value(self, name: str) -> str:
        """Give the only value of a field."""
        (value,) = self.fields[name]
        return value

    @property
    def lasting(self) -> dict[str, list[str]]:
        """Give the fields without the seconds in them, which the clock turns between two answers."""
        told = {
            name: [re.sub(r"(max-age|ttl)=\d+", r"\1=?", value) for value in values]
            for name, values in self.fields.items()
        }
        return told | {"Date": ["?"]}


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def ask(self, raw: bytes) -> Answer:
        """Write a request and read the answer."""
        self.writer.write(raw)
        return await self.read(is_head=raw.startswith(b"HEAD"))

    async def read(self, *, is_head: bool = False) -> Answer:
        """Read the next answer; interim ones are part of its head."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            return await self.read(is_head=is_head)
        length = _LENGTH.search(head)
        has_body = length is not None and not is_head and not head.startswith(b"HTTP/1.1 304")
        return Answer(head, await self._reader.readexactly(int(length[1])) if length and has_body else b"")

    async def pieces(self, pieces: Iterable[bytes]) -> None:
        """Write pieces that arrive one by one."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            for _ in range(5):  # on loopback what is written can be read at once; the server's loop is ours
                await asyncio.sleep(0)

    async def rest(self) -> bytes:
        """Read to the end of the connection."""
        return await self._reader.read()


@asynccontextmanager
async def calling(gateway: GatewayClient, address: str = "127.0.0.1") -> AsyncIterator[Caller]:
    """Open a connection to a gateway, from an address."""
    connection = await asyncio.open_connection("127.0.0.1", gateway.running.port, local_addr=(address, 0))
    async with Caller(*connection) as caller:
        yield caller


def request(uri: str, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Write a request for a thumbnail."""
    head = [f"{method} {thumb(uri)} HTTP/{version}", "Host: thumbs.example.com", *lines, "", ""]
    return "\r\n".join(head).encode()


def bearer(token: str) -> str:
    """Write the line that says who one is."""
    return f"Authorization: Bearer {token}"
