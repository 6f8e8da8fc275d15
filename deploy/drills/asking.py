"""Asking a gateway for thumbnails over connections that are kept."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import quote

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")
_END_OF_PNG = b"IEND\xaeB`\x82"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read to its end."""

    status: int
    head: bytes = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def is_picture(self) -> bool:
        """Tell whether it is a whole one."""
        return self.status == HTTPStatus.OK and b"image/png" in self.head and self.body.endswith(_END_OF_PNG)

    @property
    def is_later(self) -> bool:
        """Tell whether it is the answer for when no cache could help."""
        return self.status in (503, 504) and b"\r\nretry-after:" in self.head.lower()


def question(uri: str, **fields: str) -> bytes:
    """Write a request for a thumbnail."""
    lines = [f"GET /thumb?uri={quote(uri, safe='')} HTTP/1.1", "Host: thumbs.example.com"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in fields.items()), "", ""]).encode()


class _Unheard(EOFError):
    """The connection was closed before an answer."""


class Connection:
    """One that is opened when needed, and again when the gateway has said that it closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.is_cut = False
        """The last answer had begun as a picture, and did not end."""
        self.again = 0
        """How often something had to be asked twice."""

    async def ask(self, raw: bytes) -> Reply:
        """Ask, and read the answer; once more, as browsers do, when a connection kept for long has been closed."""
        if self._ends is not None:
            try:
                return await self._ask(*self._ends, raw)
            except _Unheard:
                self.again += 1
                self.close()
        self._ends = await asyncio.open_connection("127.0.0.1", self._port)
        return await self._ask(*self._ends, raw)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes) -> Reply:
        self.is_cut = False
        writer.write(raw)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (ConnectionError, EOFError) as error:
            raise _Unheard from error
        status, length = int(head.split(b" ", 2)[1]), _LENGTH.search(head)
        self.is_cut = status == HTTPStatus.OK
        body = await reader.readexactly(int(length[1])) if length and status != HTTPStatus.NOT_MODIFIED else b""
        self.is_cut = False
        if b"\r\nconnection: close\r\n" in head.lower():
            self.close()
        return Reply(status, head, body)

    def close(self) -> None:
        """Close it, if it is open."""
        if self._ends is not None:
            self._ends[1].transport.abort()
            self._ends = None
