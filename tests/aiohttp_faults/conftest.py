"""Fixtures that show aiohttp's faults: its own server and client, and a server of given bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.harness.loops import pytest_asyncio_loop_factories
from tests.harness.stream_server import Talk, ended, stream_server

__all__ = ["pytest_asyncio_loop_factories"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True)
def forget_log(caplog: pytest.LogCaptureFixture) -> None:
    """Leave out that aiohttp logs each broken request as an error."""
    caplog.set_level("CRITICAL", logger="aiohttp.server")


class Stage:
    """Starts servers, and ends them with the test."""

    @asynccontextmanager
    async def serving(self, handler: Handler) -> AsyncIterator[int]:
        """Run aiohttp's own server, and give its port."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()

    @asynccontextmanager
    async def calling(self, handler: Handler, said: bytes) -> AsyncIterator[Connection]:
        """Run aiohttp's own server, send it something in one segment, and give the connection."""
        async with self.serving(handler) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            try:
                yield reader, writer
            finally:
                await ended(writer)

    async def told(self, handler: Handler, said: bytes) -> bytes:
        """Send something in one segment, and read until the connection ends."""
        async with self.calling(handler, said) as (reader, _), asyncio.timeout(5):
            return await reader.read()

    @asynccontextmanager
    async def talking(self, talk: Talk) -> AsyncIterator[str]:
        """Run a server of bare bytes, and give its address."""
        async with stream_server(talk) as port:
            yield f"http://127.0.0.1:{port}/"


@pytest.fixture
def stage() -> Stage:
    return Stage()
