"""asyncio's servers, closed between a connection's accept and the first step of the task that makes its transport."""

from __future__ import annotations

import asyncio
import socket

import pytest


async def connected() -> tuple[asyncio.Server, socket.socket]:
    """Start a server, and connect; it accepts in the loop's next step."""
    server = await asyncio.start_server(_talk, "127.0.0.1", 0)
    return server, socket.create_connection(server.sockets[0].getsockname()[:2])


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    pytest.fail(f"nobody is left to talk to {writer} and {reader}")


async def test_a_server_that_is_closed_closes_what_it_has_accepted() -> None:
    """The garbage collector would do so during a later test, with a warning."""
    before = asyncio.all_tasks()
    server, visitor = await connected()
    with visitor:
        while asyncio.all_tasks() == before:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0)
        server.close()
        visitor.setblocking(False)
        async with asyncio.timeout(10.0):
            assert await asyncio.get_running_loop().sock_recv(visitor, 1) == b""


def test_a_loop_that_ends_closes_what_was_accepted() -> None:
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        server, visitor = runner.run(connected())
        server.close()
    with visitor:
        assert visitor.recv(1) == b""
