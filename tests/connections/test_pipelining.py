"""Several requests in one segment: each that was sent whole is answered, in its order, whatever follows it."""

from __future__ import annotations

import asyncio
import re

import pytest

from proxy.http import request_pipelining
from tests.harness.scripted_cloudreve import RawConnection, ScriptedSetup, chunked

HOST = b"Host: cloud.example.com\r\n"
GOOD = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
LAST = b"GET /healthz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n",
    "TLS": b"Connection: upgrade\r\nUpgrade: TLS/1.2, HTTP/1.1\r\n",
    "websocket refused": b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
    "without Connection": b"Upgrade: h2c\r\n",
}
BROKEN = {
    "nonsense": b"nonsense\r\n\r\n",
    "a broken field": b"GET /a HTTP/1.1\r\nHost: x\r\nno field\r\n\r\n",
    "a broken length": b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01",
    "another version": b"GET /a HTTP/3.0\r\nHost: x\r\n\r\n",
    "a broken chunk": b"POST /thumb HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d{3}) ", answers)]


@pytest.mark.parametrize("fields", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("more", [b"\r\n", b"Content-Length: 3\r\n\r\nabc"], ids=["no body", "a body"])
async def test_requests_behind_an_upgrade_that_is_not_made_are_answered(
    scripted: ScriptedSetup, fields: bytes, more: bytes
) -> None:
    first = b"GET /a HTTP/1.1\r\n" + HOST + fields + more
    async with scripted.line() as line:
        await line.say(first + GOOD + b"GET /b HTTP/1.1\r\n" + HOST + b"\r\n" + LAST)
        for target in ("/a", "/b"):
            call = await scripted.cloudreve.call()
            assert call.line == f"GET {target} HTTP/1.1"
            assert call.fields.get("Upgrade", ["websocket"]) == ["websocket"]
            await call.body()
            await call.answer()
        answers = await line.hear_all()
    assert statuses(answers) == [200] * 4
    assert answers.count(b"alive\n") == 2


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("cut", [0, 1, 7])
async def test_a_broken_request_erases_no_answer_before_it(scripted: ScriptedSetup, broken: bytes, cut: int) -> None:
    """Two good ones in the same segment, a third that is broken, and one behind it that is not answered."""
    async with scripted.line() as line:
        whole = GOOD + b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n" + broken + GOOD
        await line.say(whole[: len(whole) - cut])
        await (await scripted.cloudreve.call()).answer()
        answers = await line.hear_all()
    assert statuses(answers)[:2] == [200, 200]
    assert statuses(answers)[2] in (400, 505)
    assert len(statuses(answers)) == 3


@pytest.mark.parametrize("behind", [GOOD, b"nonsense\r\n\r\n", b"x" * 300_000, LAST * 3])
@pytest.mark.parametrize("is_passed", [False, True])
async def test_requests_behind_the_end_of_a_connection_erase_no_answer(
    scripted: ScriptedSetup, behind: bytes, is_passed: bool
) -> None:
    """They are read, so that the kernel sends no reset, and not answered."""
    async with scripted.line() as line:
        await line.say((LAST.replace(b"/healthz", b"/a") if is_passed else LAST) + behind)
        if is_passed:
            await (await scripted.cloudreve.call()).answer()
        answers = await line.hear_all()
    assert statuses(answers) == [200]
    assert scripted.cloudreve.is_silent


async def test_an_answer_arrives_though_its_reader_goes_on_sending(scripted: ScriptedSetup) -> None:
    """More than fits into buffers, behind a request that is refused."""
    async with scripted.line() as line:
        sending = asyncio.create_task(flood(line, b"nonsense\r\n\r\n"))
        assert statuses(await line.hear_all()) == [400]
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_large_answer_arrives_whole_though_more_is_sent_behind_its_request(scripted: ScriptedSetup) -> None:
    """Bytes that the kernel has not sent yet are lost with a reset."""
    body = b"x" * 3_000_000
    async with scripted.line() as line:
        await line.say(LAST.replace(b"/healthz", b"/a") + GOOD)
        call = await scripted.cloudreve.call()
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        answering = asyncio.create_task(
            call.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        )
        await line.say(GOOD * 100)
        line.writer.transport.resume_reading()  # type: ignore[attr-defined]
        answer = b""
        while len(answer) < len(body):
            answer += await line.hear_bytes(100_000)
            await line.say(GOOD)
        await answering
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


async def flood(line: RawConnection, first: bytes) -> None:
    await line.say(first)
    while True:
        await line.say(b"x" * 65_536)


async def test_a_connection_is_not_read_for_ever_behind_its_end(
    scripted: ScriptedSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_pipelining, "LINGER_S", 0.05)
    async with scripted.line() as line:
        with pytest.raises(ConnectionError):
            await flood(line, LAST + GOOD)


async def test_a_chunked_request_is_not_the_last_of_its_connection(scripted: ScriptedSetup) -> None:
    """Its extensions and trailers go no farther, its chunks do."""
    async with scripted.line() as line:
        body = b"3;a=b\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
        await line.say(b"PUT /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + body + LAST)
        call = await scripted.cloudreve.call()
        assert await call.hear(b"0\r\n\r\n") == chunked(b"abc")
        await call.answer()
        assert statuses(await line.hear_all()) == [200, 200]


async def test_a_body_that_breaks_http_ends_its_request(scripted: ScriptedSetup) -> None:
    """When it is on its way already: Cloudreve does not get it whole, and the visitor hears why."""
    async with scripted.line() as line:
        await line.say(b"PUT /a HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        call = await scripted.cloudreve.call()
        await line.say(b"zz\r\n" + GOOD)
        assert statuses(await line.hear_all()) == [400]
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await call.body()


async def test_pipelined_bytes_are_buffered_within_bounds(scripted: ScriptedSetup) -> None:
    """While it is answered, the sender of megabytes of requests has to wait; then all of them are answered."""
    count, large = 1_500, GOOD[:-2] + b"X: %b\r\n\r\n" % (b"x" * 10_000)
    async with scripted.line() as line:
        line.writer.transport.set_write_buffer_limits(1)
        await line.say(b"GET /a HTTP/1.1\r\n" + HOST + b"\r\n")
        call = await scripted.cloudreve.call()
        line.writer.write(large * count + LAST)
        asking = asyncio.create_task(line.writer.drain())
        await asyncio.wait({asking}, timeout=0.5)
        assert not asking.done()
        await call.answer()
        answers = await line.hear_all()
        await asking
    assert answers.count(b"alive\n") == count + 1
