"""Bodies that are passed: as they come, no faster than they are taken, and ended on both sides when one side ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.passthrough import upload
from tests.harness.scripted_cloudreve import PATIENCE_S, Call, RawConnection, ScriptedSetup, chunked, passing, request

MUCH = 64 * 2**20
"""More than all buffers of a system on the way hold."""
BLOCK = b"x" * 65_536
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
Told = Callable[[bytes], Awaitable[None]]


async def pour(line: RawConnection) -> None:
    for _ in range(MUCH // len(BLOCK)):
        line.writer.write(BLOCK)
        await line.writer.drain()


async def standstill(scripted: ScriptedSetup, line: RawConnection) -> int:
    """Wait until a connection takes no more although the gateway has turns enough; tell how much it holds back."""
    held = -1
    while held != (held := line.writer.transport.get_write_buffer_size()) or not held:
        for _ in range(50):
            await scripted.gateway.send("GET", "/healthz")
    return held


async def test_an_answer_begins_before_it_ends(scripted: ScriptedSetup) -> None:
    async with scripted.line() as line:
        await line.say(request("/film"))
        call = await scripted.cloudreve.call()
        await call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        assert (await line.hear(b"abc")).startswith(b"HTTP/1.1 200 OK\r\n")
        await call.say(b"def")
        assert await line.hear_all() == b"def"


async def test_an_event_arrives_when_it_happens(scripted: ScriptedSetup) -> None:
    """Server-sent events: the head at once, then each by itself."""
    async with scripted.line() as line:
        await line.say(request("/api/v4/file/events?uri=x", "X-Cr-Client-Id: a"))
        call = await scripted.cloudreve.call()
        await call.say(EVENTS)
        assert b"Content-Type: text/event-stream\r\n" in await line.hear(b"\r\n\r\n")
        for event in (b"event:subscribed\n\n", b"event:keep-alive\n\n"):
            await call.say(chunked(event)[:-5])
            assert await line.hear(event + b"\r\n") == chunked(event)[:-5]
        line.tear()
        assert await call.hear_all() == b""


@pytest.mark.parametrize("framing", ["Content-Length: 6", "Transfer-Encoding: chunked"])
async def test_a_body_is_under_way_before_it_ends(scripted: ScriptedSetup, framing: str) -> None:
    """Cloudreve has the first of it before the last is sent."""
    first, second = (chunked(b"abc")[:-5], chunked(b"def")) if "chunked" in framing else (b"abc", b"def")
    async with scripted.line() as line:
        await line.say(request("/a", framing, method="PUT") + first)
        call = await scripted.cloudreve.call()
        await call.hear(b"abc")
        await line.say(second)
        await call.hear(b"def")
        await call.answer()
        assert (await line.hear_all()).endswith(b"ok")


async def test_an_answer_may_come_while_the_body_is_still_on_its_way(scripted: ScriptedSetup) -> None:
    """Both flow at once; and what ends it first, ends it."""
    async with scripted.line() as line:
        await line.say(request("/a", "Content-Length: 99", method="POST") + b"abc")
        call = await scripted.cloudreve.call()
        assert await call.hear_bytes(3) == b"abc"
        await call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nxyz")
        await line.hear(b"xyz")
        await line.say(b"def")
        assert await call.hear_bytes(3) == b"def"
        await call.say(b"xyz")
        assert await line.hear_bytes(3) == b"xyz"
        assert await call.hear_all() == b""


async def test_a_refusal_comes_before_the_body_has_been_sent(scripted: ScriptedSetup) -> None:
    """Too large is said after the first megabyte, not after the last; the connection with its rest is done for."""
    async with scripted.line() as line:
        await line.say(request("/a", f"Content-Length: {MUCH}", method="POST") + BLOCK)
        call = await scripted.cloudreve.call()
        await call.say(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        answer = await line.hear(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 413 Content Too Large\r\n")
        assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    ("framing", "first", "second"),
    [(b"Content-Length: 6", b"abc", b"def"), (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n", chunked(b"def"))],
)
async def test_no_permission_to_go_on_comes_within_an_answer(
    scripted: ScriptedSetup, monkeypatch: pytest.MonkeyPatch, framing: bytes, first: bytes, second: bytes
) -> None:
    """Once Cloudreve answers instead of giving it, nobody waits for it any more; it would be read as the body."""
    monkeypatch.setattr(upload, "CONTINUE_S", 0.1)
    async with scripted.line() as line:
        await line.say(request("/a", "Expect: 100-continue", "Content-Length: 3", method="PUT"))
        call = await scripted.cloudreve.call()
        call.writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + first)
        await line.hear(b"\r\n\r\n" + first)
        waited_until = asyncio.get_running_loop().time() + upload.CONTINUE_S
        while asyncio.get_running_loop().time() < waited_until:
            await scripted.gateway.send("GET", "/healthz")
        await call.say(second)
        assert await line.hear_bytes(len(second)) == second


async def test_a_slow_reader_slows_cloudreve_down(scripted: ScriptedSetup) -> None:
    """Nothing is piled up here: a film costs as much memory as its buffers."""
    async with scripted.line() as line:
        await line.say(request("/film"))
        call = await scripted.cloudreve.call()
        await call.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MUCH)
        pouring = asyncio.create_task(pour(call))
        assert await standstill(scripted, call)
        assert not pouring.done()
        await line.hear(b"\r\n\r\n")
        assert await line.hear_bytes(MUCH) == BLOCK * (MUCH // len(BLOCK))
        await pouring


async def test_a_cloudreve_that_takes_slowly_slows_the_visitor_down(scripted: ScriptedSetup) -> None:
    async with scripted.line() as line:
        await line.say(request("/a", f"Content-Length: {MUCH}", method="PUT"))
        call = await scripted.cloudreve.call()
        pouring = asyncio.create_task(pour(line))
        assert await standstill(scripted, line)
        assert not pouring.done()
        assert await call.body() == BLOCK * (MUCH // len(BLOCK))
        await call.answer()
        await pouring
        assert (await line.hear_all()).endswith(b"ok")


async def test_a_visitor_who_leaves_before_the_answer_takes_the_request_along(scripted: ScriptedSetup) -> None:
    async with scripted.line() as line:
        await line.say(request("/a"))
        call = await scripted.cloudreve.call()
        line.tear()
        assert await call.hear_all() == b""


async def test_a_visitor_who_leaves_in_the_middle_of_a_download_ends_it(scripted: ScriptedSetup) -> None:
    async with scripted.line() as line:
        await line.say(request("/film"))
        call = await scripted.cloudreve.call()
        await call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc")
        await line.hear(b"abc")
        line.hang_up()
        assert await call.hear_all() == b""


@pytest.mark.parametrize("is_torn", [True, False])
@pytest.mark.parametrize("framing", ["Content-Length: 6", "Transfer-Encoding: chunked"])
async def test_an_upload_that_breaks_off_never_looks_complete(
    scripted: ScriptedSetup, framing: str, is_torn: bool
) -> None:
    """Cloudreve would keep half a file under the name of the whole."""
    async with scripted.line() as line:
        first = chunked(b"abc")[:-5] if "chunked" in framing else b"abc"
        await line.say(request("/a", framing, method="PUT") + first)
        call = await scripted.cloudreve.call()
        await call.hear(b"abc")
        if is_torn:
            line.tear()
        else:
            line.hang_up()
        assert await call.hear_all() in (b"", b"\r\n")
    assert scripted.cloudreve.is_silent


LENGTH, CHUNKS, CLOSING = b"Content-Length: 6\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3\r\n", b"\r\n"


@pytest.mark.parametrize(
    ("framing", "then", "is_torn"),
    [
        (LENGTH, b"", False),
        (LENGTH, b"", True),
        (CHUNKS, b"\r\n", False),
        (CHUNKS, b"\r\n", True),
        (CHUNKS, b"\r\nzz\r\n", False),
        (CLOSING, b"", True),
    ],
)
async def test_an_answer_that_breaks_off_never_looks_complete(
    scripted: ScriptedSetup, framing: bytes, then: bytes, is_torn: bool
) -> None:
    """A connection is reset under a body that is in chunks here, and cut short under one that has a length."""
    async with scripted.line() as line:
        await line.say(request("/film"))
        call = await scripted.cloudreve.call()
        await call.say(b"HTTP/1.1 200 OK\r\n" + framing + b"abc")
        heard = await line.hear(b"abc")
        await call.say(then)
        if is_torn:
            call.tear()
        else:
            call.hang_up()
        heard += await line.hear_all()
        assert b"0\r\n\r\n" not in heard
        assert b"Content-Length: 6\r\n" in heard or b"Transfer-Encoding: chunked\r\n" in heard
    outcomes = ("upstream", "broken_off", "unreachable")
    assert sum(scripted.gateway.count("requests_total", outcome=outcome) for outcome in outcomes) == 1


async def test_an_answer_that_ends_with_its_connection_is_whole(scripted: ScriptedSetup) -> None:
    """The oldest way to say where a body ends; towards the visitor it gets a better one."""
    async with scripted.line() as line:
        await line.say(request("/a"))
        call = await scripted.cloudreve.call()
        await call.say(b"HTTP/1.1 200 OK\r\n\r\nabc")
        call.hang_up()
        assert (await line.hear_all()).endswith(chunked(b"abc"))


async def test_a_body_that_breaks_http_on_its_way_ends_on_both_sides() -> None:
    """400 for who sent it, and for Cloudreve an upload that is not complete."""
    async with passing() as scripted, scripted.line() as line:
        await line.say(request("/a", "Transfer-Encoding: chunked", method="PUT") + b"3\r\nabc\r\n")
        call = await scripted.cloudreve.call()
        await call.hear(b"abc\r\n")
        await line.say(b"zz\r\nabc\r\n0\r\n\r\n")
        answer = await line.hear_all()
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert answer.count(b"HTTP/1.") == 1
        assert await call.hear_all() == b""


async def test_a_body_that_breaks_http_ends_an_answer_that_has_begun(scripted: ScriptedSetup) -> None:
    """Cloudreve waits for the rest of the body, and would wait for ever."""
    async with scripted.line() as line:
        await line.say(request("/a", "Transfer-Encoding: chunked", method="PUT") + b"3\r\nabc\r\n")
        call = await scripted.cloudreve.call()
        await call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nxyz")
        await line.hear(b"xyz")
        await line.say(b"zz\r\n")
        assert b"HTTP" not in await line.hear_all()
        assert (await call.hear_all()).endswith(b"abc\r\n")


async def test_event_streams_do_not_keep_a_gateway_from_leaving() -> None:
    """They never end by themselves; downloads do, and are finished."""
    async with asyncio.timeout(PATIENCE_S):
        async with passing(shutdown_s=3600.0) as scripted, scripted.line() as listening, scripted.line() as reading:
            calls: list[Call] = []
            for line, head in ((listening, EVENTS), (reading, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")):
                await line.say(request("/a"))
                calls.append(await scripted.cloudreve.call())
                await calls[-1].say(head)
            await listening.hear(b"\r\n\r\n")
            await reading.hear(b"abc")
            finishing = asyncio.create_task(finish(listening, calls[1]))
        assert await finishing == b""


async def finish(listening: RawConnection, download: Call) -> bytes:
    """Let a download end once an event stream has been ended; give what the stream still brought."""
    heard = await listening.hear_all()
    await download.answer(b"def")
    return heard
