"""Ways in which an upstream fails: each spoils the proper answer in its own manner."""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from aiohttp import web

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_CHUNK = b"\0" * 65536
HTML = b"<!doctype html><title>Bad Gateway</title><h1>502 Bad Gateway</h1>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and the answer that it would get on a good day."""

    request: web.Request
    proper: web.Response

    @property
    def body(self) -> bytes:
        """Give the proper answer's bytes."""
        return self.proper.body if isinstance(self.proper.body, bytes) else b""

    async def begin(self, first: bytes, *, announced: int | None) -> web.StreamResponse:
        """Send the proper head, with this length or none, and the first bytes of a body."""
        response = web.StreamResponse(status=self.proper.status, headers=self.proper.headers)
        if announced is None:
            response.headers.pop("Content-Length", None)
            response.enable_chunked_encoding()
        else:
            response.content_length = announced
        await response.prepare(self.request)
        if first:
            await response.write(first)
        return response

    def reset(self) -> None:
        """Close without the goodbye: zero linger makes the kernel send RST."""
        transport = self.request.transport
        if transport is None:
            return
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


class Fault(ABC):
    """One way to spoil an answer. `redacted` ones only delay: what arrives in the end is proper."""

    redacted: ClassVar[bool] = False

    @abstractmethod
    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Answer the request, or break its connection."""


class Hang(Fault):
    """Nothing at all, until `until` is set: then the proper answer."""

    redacted = True

    def __init__(self, until: asyncio.Event | None = None) -> None:
        self.until = until or asyncio.Event()

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Wait."""
        await self.until.wait()
        return exchange.proper


class Reset(Fault):
    """The connection is reset after `sent` bytes of the body; with None before any answer."""

    def __init__(self, sent: int | None = None) -> None:
        self.sent = sent

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Send what there is to send, then reset."""
        if self.sent is not None:
            await exchange.begin(exchange.body[: self.sent], announced=len(exchange.body))
            await asyncio.sleep(0)  # lets the transport hand the bytes to the kernel, or a reset would overtake them
        exchange.reset()
        return exchange.proper


class Half(Fault):
    """Half of the picture, then the connection is reset."""

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Send half and reset."""
        return await Reset(len(exchange.body) // 2).play(exchange)


class Truncated(Fault):
    """The body ends, and the connection with it, `missing` bytes before the announced length."""

    def __init__(self, missing: int = 100) -> None:
        self.missing = missing

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Announce more than is sent."""
        response = await exchange.begin(exchange.body[: -self.missing], announced=len(exchange.body))
        if exchange.request.transport is not None:
            exchange.request.transport.close()
        return response


class Says(Fault):
    """Another answer altogether."""

    def __init__(
        self, body: bytes, media_type: str, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        self.body = body
        self.media_type = media_type
        self.status = status
        self.headers = dict(headers or {})

    async def play(self, exchange: Exchange) -> web.StreamResponse:  # noqa: ARG002 - nothing proper is left of it
        """Send it."""
        return web.Response(
            status=self.status, body=self.body, headers={"Content-Type": self.media_type, **self.headers}
        )


class Huge(Fault):
    """A body that begins like a PNG and goes on for `size` bytes, its length announced or not."""

    def __init__(self, size: int = 50 * 1024 * 1024, *, announced: bool = True) -> None:
        self.size = size
        self.announced = announced
        self.sent = 0

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Stream, remembering in `sent` how far the client let it come."""
        response = await exchange.begin(_PNG_MAGIC, announced=self.size if self.announced else None)
        self.sent = len(_PNG_MAGIC)
        while self.sent < self.size:
            await response.write(_CHUNK[: self.size - self.sent])
            self.sent += len(_CHUNK)
        await response.write_eof()
        return response


class Encoded(Fault):
    """`Content-Encoding: gzip`, over a body that is (`real`) or is not."""

    def __init__(self, *, real: bool = False) -> None:
        self.real = real

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Send the picture under a false or an unasked-for coding."""
        body = gzip.compress(exchange.body) if self.real else exchange.body
        headers = {"Content-Type": exchange.proper.content_type, "Content-Encoding": "gzip"}
        return web.Response(body=body, headers=headers)


class Drip(Fault):
    """The proper answer in `parts`, each sent only when `release` allows it, its length announced or not."""

    redacted = True

    def __init__(self, parts: int = 2, *, announced: bool = True) -> None:
        self.parts = parts
        self.announced = announced
        self._allowed = asyncio.Semaphore(0)

    def release(self, parts: int = 1) -> None:
        """Allow so many more parts."""
        for _ in range(parts):
            self._allowed.release()

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Send the head at once, and part by part what follows."""
        body = exchange.body
        size = -(-len(body) // self.parts)
        response = await exchange.begin(b"", announced=len(body) if self.announced else None)
        for start in range(0, len(body), size):
            await self._allowed.acquire()
            await response.write(body[start : start + size])
        await response.write_eof()
        return response


def redirect(to: str, status: int = 302) -> Says:
    """Send the client elsewhere."""
    return Says(b"", "text/plain", status, {"Location": to})


def error_page(status: int) -> Says:
    """Answer with an HTML page and an HTTP status, as a server in front of Cloudreve does."""
    return Says(HTML, "text/html; charset=utf-8", status)


def deep_json(depth: int = 100_000) -> Says:
    """Nest arrays until a recursive parser breaks."""
    return Says(b'{"code":0,"data":' + b"[" * depth + b"]" * depth + b"}", "application/json; charset=utf-8")


def huge_json(size: int = 20 * 1024 * 1024) -> Says:
    """Answer properly in form, with a very long message."""
    return Says(b'{"code":0,"data":{"url":"","expires":null},"msg":"' + b"x" * size + b'"}', "application/json")


def json_body(text: str) -> Says:
    """Answer HTTP 200 with this JSON, or what is announced as JSON."""
    return Says(text.encode(), "application/json; charset=utf-8")


def svg() -> Says:
    """Answer with an image that is also a program."""
    return Says(SVG, "image/svg+xml")
