"""A server that answers each request with what has come of it."""

from __future__ import annotations

import asyncio
import hashlib
import re
from contextlib import AsyncExitStack
from typing import Self
from urllib.parse import quote

from tests.harness.stream_server import stream_server

PING = b"GET /api/v4/site/ping "
PONG = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"code":0}'
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked\r\n")


class Echo:
    """Says method, target and a digest of the body; with `chunks` in the target in chunks, else with a length."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self.port = 0

    async def __aenter__(self) -> Self:
        self.port = await self._stack.enter_async_context(stream_server(self._serve))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"\r\nexpect: 100-continue\r\n" in head.lower():
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = await _body(head, reader)
                writer.write(PONG if head.startswith(PING) else _said(head, body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            writer.transport.abort()


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    if _CHUNKED.search(head):
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return body
    length = _LENGTH.search(head)
    return await reader.readexactly(int(length[1])) if length else b""


def _said(head: bytes, body: bytes) -> bytes:
    method, target = head.split(b" ", 2)[:2]
    plain = quote(target, safe="/?=%&:,;()").encode()
    digest = hashlib.sha256(body).hexdigest()[:16].encode()
    said = b"" if method == b"HEAD" else b"%b %b %d %b" % (method, plain, len(body), digest)
    if b"chunks" in target:
        raw = b"" if method == b"HEAD" else b"%x\r\n%b\r\n0\r\n\r\n" % (len(said), said)
        return b"HTTP/1.1 200 OK\r\nX-Echo: 1\r\nTransfer-Encoding: chunked\r\n\r\n" + raw
    return b"HTTP/1.1 200 OK\r\nX-Echo: 1\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said)
