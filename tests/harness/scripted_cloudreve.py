"""A Cloudreve that is played by hand: what reaches it is seen byte for byte, and what it says is written so."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import pytest

from tests.harness.gateways import GatewayClient, gateway_of
from tests.harness.stream_server import ended, stream_server

PATIENCE_S = 30.0
"""How long anything may take that is to happen; nothing waits for it to pass."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(slots=True)
class RawConnection:
    """One end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        """Write, and wait until it is on its way."""
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE_S):
            await self.writer.drain()

    async def hear(self, until: bytes) -> bytes:
        """Read up to and with some bytes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readuntil(until)

    async def hear_bytes(self, count: int) -> bytes:
        """Read so many bytes."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(count)

    async def hear_all(self) -> bytes:
        """Read until the other side ends the connection, in good or in ill."""
        heard = b""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while chunk := await self.reader.read(65536):
                    heard += chunk
            except ConnectionError:
                return heard
        return heard

    def hang_up(self) -> None:
        """End the connection."""
        self.writer.close()

    def tear(self) -> None:
        """Reset the connection, which a socket does that is closed without lingering."""
        opened = self.writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass(slots=True)
class Call(RawConnection):
    """A request that has reached Cloudreve."""

    head: bytes
    number: int
    """Counts connections."""
    received: bytes = b""
    _is_done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def line(self) -> str:
        """Give the request line."""
        return self.head.partition(b"\r\n")[0].decode()

    @property
    def fields(self) -> dict[str, list[str]]:
        """Give the header fields by their names as they came."""
        found: dict[str, list[str]] = {}
        for line in self.head.decode("utf-8", "surrogateescape").split("\r\n")[1:-2]:
            name, _, value = line.partition(": ")
            found.setdefault(name, []).append(value)
        return found

    async def body(self) -> bytes:
        """Read the body; IncompleteReadError or ValueError when it does not come whole."""
        if "Transfer-Encoding" not in self.fields:
            return await self.hear_bytes(int(self.fields.get("Content-Length", ["0"])[0]))
        body = b""
        while size := int(await self.hear(b"\r\n"), 16):
            body += await self.hear_bytes(size)
            await self.hear(b"\r\n")
        await self.hear(b"\r\n")
        return body

    async def answer(self, data: bytes = OK) -> None:
        """Say everything there is to say, and be ready for the next request on this connection."""
        await self.say(data)
        self._is_done.set()

    def hang_up(self) -> None:
        """End the connection."""
        RawConnection.hang_up(self)
        self._is_done.set()

    def tear(self) -> None:
        """Reset the connection."""
        RawConnection.tear(self)
        self._is_done.set()

    async def done(self) -> None:
        """Wait until all is said."""
        await self._is_done.wait()


class ScriptedCloudreve:
    """Takes connections and hands out what comes over them. Pings are answered without being mentioned."""

    def __init__(self) -> None:
        self._calls: asyncio.Queue[Call] = asyncio.Queue()
        self._stack = AsyncExitStack()
        self._connections = 0
        self.url = ""
        """Where it is."""

    async def __aenter__(self) -> Self:
        self.url = f"http://127.0.0.1:{await self._stack.enter_async_context(stream_server(self._serve))}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Be there no longer."""
        await self._stack.aclose()

    async def call(self) -> Call:
        """Wait for the next request."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._calls.get()

    @property
    def is_silent(self) -> bool:
        """Tell whether nothing has come that was not taken."""
        return self._calls.empty()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        number = self._connections
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                call = Call(reader, writer, head, number)
                if call.line.startswith(("GET /api/v4/site/ping ", "GET /s/_ ")):  # as each gateway begins
                    await call.answer(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"code":0}')
                    continue
                self._calls.put_nowait(call)
                await call.done()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.transport.abort()


@dataclass(frozen=True, slots=True)
class ScriptedSetup:
    """A gateway that passes everything on, and the Cloudreve behind it."""

    cloudreve: ScriptedCloudreve
    gateway: GatewayClient

    @asynccontextmanager
    async def line(self) -> AsyncIterator[RawConnection]:
        """Open a connection to the gateway."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway.running.port, limit=2**20)
        try:
            yield RawConnection(reader, writer)
        finally:
            await ended(writer)

    async def ask(self, request: bytes, answer: bytes = OK) -> tuple[Call, bytes]:
        """Send a request, take its body unless leave is needed for it, answer, and give what came to either side."""
        async with self.line() as line:
            line.writer.write(request)
            call = await self.cloudreve.call()
            if "Expect" not in call.fields:
                call.received = await call.body()
            await call.answer(answer)
            return call, await line.hear_all()

    async def refusal(self, request: bytes) -> bytes:
        """Send a request that must not reach Cloudreve, and give the answer."""
        async with self.line() as line:
            await line.say(request)
            answer = await line.hear_all()
        assert self.cloudreve.is_silent
        return answer


def request(target: str = "/", *fields: str, method: str = "GET", body: bytes = b"") -> bytes:
    """Write a request after whose answer the connection ends."""
    lines = [f"{method} {target} HTTP/1.1", "Host: cloud.example.com", "Connection: close", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*chunks: bytes) -> bytes:
    """Write a body in chunks (RFC 9112 §7.1)."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


@asynccontextmanager
async def passing(**server: object) -> AsyncIterator[ScriptedSetup]:
    """Run a gateway that passes everything on."""
    async with (
        ScriptedCloudreve() as cloudreve,
        gateway_of(cloudreve.url, server={"passthrough": True, **server}) as gateway,
    ):
        yield ScriptedSetup(cloudreve, gateway)


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedSetup]:
    """Run a gateway that passes everything on."""
    async with passing() as opened:
        yield opened
