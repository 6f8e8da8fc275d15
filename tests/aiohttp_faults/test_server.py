"""Faults of aiohttp that are mended in front of it, in their smallest form; one that fails here is mended there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict

GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n%b\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


async def answer(request: web.Request) -> web.Response:
    """Say the path, and a field value of other bytes than UTF-8."""
    return web.Response(text=request.path, headers={"X-Note": b"caf\xe9".decode("utf-8", "surrogateescape")})


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """Run aiohttp's own server, and give its port."""
    app = web.Application()
    app.add_routes([web.get("/{path}", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def told(said: bytes) -> bytes:
    """Send something in one segment, and read until the connection ends."""
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        async with asyncio.timeout(5):
            heard = await reader.read()
        writer.close()
        return heard


@pytest.fixture(autouse=True)
def forget_log(caplog: pytest.LogCaptureFixture) -> None:
    """Leave out that aiohttp logs each broken request as an error."""
    caplog.set_level("CRITICAL", logger="aiohttp.server")


async def test_an_ignored_upgrade_swallows_the_rest_of_its_segment() -> None:
    """The second request gets no answer, and the third its place."""
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET % (b"first", b"Connection: Upgrade\r\nUpgrade: h2c\r\n") + GET % (b"second", b""))
        assert (await reader.readuntil(b"/first")).startswith(OK)
        writer.write(GET % (b"third", b"Connection: close\r\n"))
        rest = await reader.read()
        writer.close()
    assert (b"/second" in rest, b"/third" in rest) == (False, True)


@pytest.mark.parametrize("behind", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno field\r\n\r\n"])
async def test_an_error_erases_the_answers_before_it(behind: bytes) -> None:
    """In the same segment."""
    assert OK not in await told(GET % (b"first", b"") + GET % (b"second", b"") + behind)


async def test_a_request_behind_the_end_of_a_connection_erases_the_answer_before_it() -> None:
    """In the same segment."""
    assert OK not in await told(GET % (b"first", b"Connection: close\r\n") + GET % (b"second", b""))


async def test_bytes_of_field_values_are_left_out() -> None:
    """Where they are not UTF-8."""
    assert b"X-Note: caf\r\n" in await told(GET % (b"first", b"Connection: close\r\n"))


async def test_of_fields_that_differ_in_case_the_client_sends_the_last() -> None:
    """Of those whose spelling was not seen before."""

    async def list_cookies(request: web.Request) -> web.Response:
        return web.Response(text="|".join(request.headers.getall("Cookie")))

    app = web.Application()
    app.add_routes([web.get("/", list_cookies)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fields = CIMultiDict([("Cookie", "a=1"), ("cookie", "b=2")])
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        async with session.get(url, headers=fields) as response:
            assert await response.text() == "b=2"
    await runner.cleanup()
