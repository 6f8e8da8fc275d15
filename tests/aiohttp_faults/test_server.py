"""Faults of aiohttp's server that the gateway mends, each in its smallest form.

A test that fails here is good news: this version of aiohttp has mended the fault, and what mends it in
`proxy/http/request_pipelining.py`, `proxy/http/connection.py` or `proxy/http/server.py` can go.
"""

from __future__ import annotations

import asyncio
import sys
from unittest.mock import Mock

import pytest
from aiohttp import web, web_protocol

from tests.aiohttp_faults.conftest import Stage

GET = b"GET /%b HTTP/1.1\r\nHost: x\r\n%b\r\n"
POST = b"POST /first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"Connection: close\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
SECRET = b"token-4711"
NEVER_S = 0.2
"""How long nothing has to come to count as never."""


async def answer(request: web.Request) -> web.Response:
    """Say the path, and a field value of other bytes than UTF-8."""
    return web.Response(text=request.path, headers={"X-Note": b"caf\xe9".decode("utf-8", "surrogateescape")})


async def test_an_ignored_upgrade_swallows_the_rest_of_its_segment(stage: Stage) -> None:
    """RFC 9110 §7.8: a server may ignore `Upgrade`. The second request gets no answer, and the third its place."""
    said = GET % (b"first", b"Connection: Upgrade\r\nUpgrade: h2c\r\n") + GET % (b"second", b"")
    async with stage.calling(answer, said) as (reader, writer):
        assert (await reader.readuntil(b"/first")).startswith(OK)
        writer.write(GET % (b"third", LAST))
        rest = await reader.read()
    assert (b"/second" in rest, b"/third" in rest) == (False, True)


@pytest.mark.parametrize("behind", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno field\r\n\r\n"])
async def test_an_error_erases_the_answers_before_it(stage: Stage, behind: bytes) -> None:
    """RFC 9112 §9.3.2: pipelined requests are answered in their order. Of three in one segment only 400 is answered."""
    assert OK not in await stage.told(answer, GET % (b"first", b"") + GET % (b"second", b"") + behind)


async def test_a_request_behind_the_end_of_a_connection_erases_the_answer_before_it(stage: Stage) -> None:
    """RFC 9112 §9.6: the request that says `close` is answered; what comes behind it is not looked at."""
    assert OK not in await stage.told(answer, GET % (b"first", LAST) + GET % (b"second", b""))


async def test_a_broken_chunk_leaves_the_reader_of_the_body_waiting(stage: Stage) -> None:
    """RFC 9112 §8: such a body is incomplete. Its reader hears nothing, neither bytes nor an error."""
    begun, heard = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def read(request: web.Request) -> web.Response:
        await request.content.readany()
        begun.set()
        heard.set_result(await request.content.readany())
        return web.Response()

    async with stage.calling(read, POST + b"3\r\nabc\r\n") as (_, writer):
        await begun.wait()
        writer.write(b"no size\r\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(heard), NEVER_S)


async def test_the_last_trailer_is_a_field_of_the_next_request(stage: Stage) -> None:
    """RFC 9112 §7.1.2: trailers belong to their own message. This one smuggles a field into another's request."""
    fields: list[str | None] = []

    async def note(request: web.Request) -> web.Response:
        await request.read()
        fields.append(request.headers.get("X-Trailer"))
        return web.Response()

    await stage.told(note, POST + b"0\r\nX-Trailer: smuggled\r\n\r\n" + GET % (b"second", LAST))
    assert fields == [None, "smuggled"]


async def test_a_head_may_be_as_large_as_all_its_lines(stage: Stage) -> None:
    """RFC 6585 §5. Each line is bounded (8 kB), and their number (128): together they take a megabyte."""
    lines = b"".join(b"X-%d: %b\r\n" % (number, b"x" * 8000) for number in range(120))
    assert (await stage.told(answer, GET % (b"first", lines + LAST))).startswith(OK)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization %b\r\n\r\n" % SECRET,
        b"GET /%b HTTP/9.x\r\n\r\n" % SECRET,
        GET % (b"", b"Expect: %b\r\n" % SECRET + LAST),
    ],
    ids=["field", "target", "expect"],
)
async def test_the_answer_to_a_broken_request_quotes_it(stage: Stage, said: bytes) -> None:
    """Tokens and all: to whatever logs answers."""
    assert SECRET in await stage.told(answer, said)


async def test_bytes_of_field_values_are_left_out(stage: Stage) -> None:
    """RFC 9110 §5.5: they are opaque. aiohttp reads them with `surrogateescape`, and does not write them back."""
    assert b"X-Note: caf\r\n" in await stage.told(answer, GET % (b"first", LAST))


async def test_the_status_line_has_the_version_of_the_request(stage: Stage) -> None:
    """RFC 9110 §6.2: a server answers with its own version, here 1.1."""
    assert (await stage.told(answer, b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.0 200 OK")


async def test_an_answer_to_http_1_0_without_length_never_ends(stage: Stage) -> None:
    """RFC 9112 §6.3: such an answer ends with its connection. With `keep-alive` aiohttp leaves it open."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"whole")
        await response.write_eof()
        return response

    said = b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
    async with stage.calling(stream, said) as (reader, _):
        await reader.readuntil(b"whole")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(), NEVER_S)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from Python 3.12 on the task begins at once")
async def test_a_connection_that_is_closed_before_its_task_begins_waits_all_the_same() -> None:
    """One that is accepted while the server shuts down holds it up until the time-out."""
    connection, transport = web.Server(answer)(), Mock()  # type: ignore[arg-type]  # never called
    connection.connection_made(transport)
    connection.close()
    for _ in range(10):
        await asyncio.sleep(0)
    transport.close.assert_not_called()
    await connection.shutdown(0.01)


async def test_a_shutdown_waits_twice_for_a_request(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for the request to end, and after cancelling it once more."""
    waits: list[float | None] = []
    begun = asyncio.Event()

    async def stubborn(_: web.Request) -> web.Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.Event().wait()
        raise AssertionError

    def waiting(delay: float | None) -> asyncio.Timeout:
        waits.append(delay)
        return asyncio.timeout(delay)

    monkeypatch.setattr(web_protocol, "ceil_timeout", waiting)
    async with stage.serving(stubborn) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET % (b"first", b""))
        await begun.wait()
    assert waits == [0.1, 0.1]
    writer.close()
    await writer.wait_closed()
