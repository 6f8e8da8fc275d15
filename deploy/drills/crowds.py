"""Visitors by the thousand who do not behave."""

from __future__ import annotations

import asyncio
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress

from deploy.drills.asking import Connection, question
from deploy.drills.load import POLL_S
from deploy.drills.rehearsal import MEBI, Drill, Stage

TOGETHER = 50
"""So many connect at a time."""
TRICKLE_S = 0.2
LINE = b"X-Long: " + b"x" * 10_000 + b"\r\n"
_RESET = struct.pack("ii", 1, 0)
_SMALL_BYTES = 2048
_PIECE_BYTES = 65536


async def _connected(port: int, first: bytes = b"", *, small: bool = False) -> socket.socket:
    """Open a connection and say something; one that is `small` takes in little at a time."""
    opened = socket.socket()
    opened.setblocking(False)
    if small:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BYTES)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(opened, ("127.0.0.1", port))
    with suppress(ConnectionError):
        await loop.sock_sendall(opened, first)
    return opened


async def _each(many: int, act: Callable[[int], Awaitable[None]]) -> None:
    """Act many times, a few at a time."""
    numbers = iter(range(many))

    async def one_after_the_other() -> None:
        for number in numbers:
            await act(number)

    await asyncio.gather(*(one_after_the_other() for _ in range(min(many, TOGETHER))))


def _open(sockets: Iterable[socket.socket]) -> int:
    """Count those that the gateway has not closed."""
    return sum(_is_open(each) for each in sockets)


def _is_open(one: socket.socket) -> bool:
    try:
        while one.recv(_PIECE_BYTES):
            pass
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


@asynccontextmanager
async def _held(stage: Stage, many: int, *firsts: bytes, small: bool = False) -> AsyncIterator[list[socket.socket]]:
    """Hold connections, on which the first words are said in turn."""
    sockets: list[socket.socket] = []

    async def hold(number: int) -> None:
        sockets.append(await _connected(stage.gateway.port, firsts[number % len(firsts)], small=small))

    try:
        await _each(many, hold)
        yield sockets
    finally:
        for each in sockets:
            each.close()


async def _all_closed(sockets: list[socket.socket]) -> None:
    async with asyncio.timeout(60):
        while _open(sockets):  # noqa: ASYNC110 - they are the kernel's
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def trickling(stage: Stage, many: int) -> AsyncIterator[None]:
    """Send heads byte by byte, without an end."""
    async with _held(stage, many, b"GET /thumb?uri=x HTTP/1.1\r\nX-Slow: ") as sockets:

        async def trickle() -> None:
            while True:
                for each in sockets:
                    with suppress(OSError):
                        each.send(b"x")
                await asyncio.sleep(TRICKLE_S)

        task = asyncio.create_task(trickle())
        try:
            yield
            await _all_closed(sockets)
        finally:
            task.cancel()


@asynccontextmanager
async def silent(stage: Stage, many: int) -> AsyncIterator[None]:
    """Connect, and say nothing at all."""
    async with _held(stage, many, b"") as sockets:
        yield
        await _all_closed(sockets)


@asynccontextmanager
async def reading_slowly(stage: Stage, many: int) -> AsyncIterator[None]:
    """Ask for a picture, and read a byte now and then; one of twenty asks for more than the kernel takes."""
    one, more = question(stage.site.pictures[0]), question(stage.site.large) * 10
    async with _held(stage, many, more, *[one] * 19, small=True) as sockets:

        async def read() -> None:
            while True:
                for each in sockets:
                    with suppress(OSError):
                        each.recv(1)
                await asyncio.sleep(TRICKLE_S)

        task = asyncio.create_task(read())
        try:
            yield
            while not stage.seen.get("cut off"):
                stage.seen["cut off"] = await stage.gateway.counted('cut_off_total{reason="unread"}')
        finally:
            task.cancel()


@asynccontextmanager
async def leaving(stage: Stage, many: int) -> AsyncIterator[None]:
    """Ask for what is cold and leave before it comes, every other by breaking the connection."""
    pictures = stage.site.pictures

    async def leave(number: int) -> None:
        opened = await _connected(stage.gateway.port, question(pictures[number % len(pictures)]))
        if number % 2:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        opened.close()

    with suppress(ConnectionRefusedError):
        await _each(many, leave)
    yield


@asynccontextmanager
async def staying(stage: Stage, many: int) -> AsyncIterator[None]:
    """Ask once, and keep the connection for ever; who has done so for longest makes room."""
    async with _held(stage, many, question(stage.site.pictures[0])), asyncio.timeout(60):
        while not stage.seen.get("made room"):
            stage.seen["made room"] = await stage.gateway.counted('cut_off_total{reason="crowded"}')
        yield


@asynccontextmanager
async def large_heads(stage: Stage, many: int) -> AsyncIterator[None]:
    """Send a megabyte of header lines, each of them short enough, and in one line."""
    before_bytes = stage.gateway.memory_bytes
    refused = 0

    async def send(number: int) -> None:
        nonlocal refused
        separator = LINE if number % 2 else b"x" * len(LINE)
        opened = await _connected(stage.gateway.port, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + separator * 100)
        with opened, suppress(ConnectionError):
            refused += (await asyncio.get_running_loop().sock_recv(opened, 20))[9:12] == b"400"

    await _each(many, send)
    stage.seen |= {"told 400": refused, "grown by MiB": (stage.gateway.memory_bytes - before_bytes) / MEBI}
    yield


@asynccontextmanager
async def scattered(stage: Stage, many: int) -> AsyncIterator[None]:
    """Ask for random names, never twice."""

    async def ask(connection: Connection, count: int) -> None:
        try:
            for _ in range(count):
                await connection.ask(question(f"cloudreve://{stage.site.share}@share/{secrets.token_hex(8)}.png"))
        finally:
            connection.close()

    await asyncio.gather(*(ask(Connection(stage.gateway.port), many // TOGETHER) for _ in range(TOGETHER)))
    yield


CROWDS = (
    Drill("heads that trickle", trickling, 2000, 300),
    Drill("visitors who say nothing", silent, 2000, 300),
    Drill("visitors who read a byte now and then", reading_slowly, 2000, 200),
    Drill("visitors who leave", leaving, 10_000, 500),
    Drill("visitors who stay", staying, 5000, 500, settings={"SERVER__MAX_CONNECTIONS": "200"}),
    Drill("heads of a megabyte", large_heads, 500, 20),
    Drill("cold URIs", scattered, 100_000, 500),
)
