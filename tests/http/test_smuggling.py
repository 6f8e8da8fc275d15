"""Requests that two servers could read as two different ones: refused before Cloudreve sees anything of them."""

from __future__ import annotations

import pytest

from tests.harness.scripted_cloudreve import ScriptedSetup, chunked, request

HOST = b"Host: cloud.example.com\r\n"
NEXT = b"GET /admin HTTP/1.1\r\nHost: cloud.example.com\r\nConnection: close\r\n\r\n"
"""Bytes that an attacker would like to be taken for a request of its own."""


def post(*lines: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    """Write a request with a body, or with what should look like one."""
    return b"\r\n".join([b"POST /a HTTP/" + version, HOST[:-2], b"Connection: close", *lines, b"", b""]) + body


LENGTHS = {
    "two lengths": post(b"Content-Length: 3", b"Content-Length: 45", body=b"abc" + NEXT),
    "one length twice": post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"),
    "a list of lengths": post(b"Content-Length: 3, 3", body=b"abc"),
    "a signed length": post(b"Content-Length: +3", body=b"abc"),
    "a negative length": post(b"Content-Length: -3", body=b"abc"),
    "a length in hexadecimal": post(b"Content-Length: 0x3", body=b"abc"),
    "an empty length": post(b"Content-Length:", body=b"abc"),
    "a length beyond all numbers": post(b"Content-Length: 99999999999999999999999", body=b"abc"),
    "length and chunks": post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=chunked() + NEXT),
    "chunks and length": post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=chunked() + NEXT),
}
CODINGS = {
    "another coding": post(b"Transfer-Encoding: xchunked", body=chunked() + NEXT),
    "no coding": post(b"Transfer-Encoding: identity", body=chunked() + NEXT),
    "chunks of a coding": post(b"Transfer-Encoding: gzip, chunked", body=chunked(b"abc")),
    "chunks that are not last": post(b"Transfer-Encoding: chunked, identity", body=chunked() + NEXT),
    "chunks twice": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=chunked(b"abc")),
    "chunks before there were any": post(b"Transfer-Encoding: chunked", body=chunked(b"abc"), version=b"1.0"),
    "a blank before the colon": post(b"Transfer-Encoding : chunked", body=chunked() + NEXT),
    "a strange blank behind it": post(b"Transfer-Encoding: \x0bchunked", body=chunked() + NEXT),
    "a folded line": post(b"Transfer-Encoding:", b" chunked", body=chunked() + NEXT),
}
CHUNKS = {
    "no size": post(b"Transfer-Encoding: chunked", body=b"zz\r\nabc\r\n0\r\n\r\n"),
    "a prefixed size": post(b"Transfer-Encoding: chunked", body=b"0x3\r\nabc\r\n0\r\n\r\n"),
    "a negative size": post(b"Transfer-Encoding: chunked", body=b"-3\r\nabc\r\n0\r\n\r\n"),
    "a size beyond all numbers": post(b"Transfer-Encoding: chunked", body=b"fffffffffffffffff3\r\nabc\r\n0\r\n\r\n"),
    "a blank behind the size": post(b"Transfer-Encoding: chunked", body=b"3 \r\nabc\r\n0\r\n\r\n"),
    "bare ends of lines": post(b"Transfer-Encoding: chunked", body=b"3\nabc\n0\n\n"),
    "a bare end in an extension": post(b"Transfer-Encoding: chunked", body=b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    "a chunk longer than it says": post(b"Transfer-Encoding: chunked", body=b"3\r\nabcd\r\n0\r\n\r\n"),
}
HEADS = {
    "a folded field": b"GET /a HTTP/1.1\r\n" + HOST + b"X-A: b\r\n c\r\n\r\n",
    "a bare end of line": b"GET /a HTTP/1.1\r\n" + HOST + b"X-A: b\nX-B: c\r\n\r\n",
    "bare ends of lines only": b"GET /a HTTP/1.1\nHost: x\n\n",
    "a bare return": b"GET /a HTTP/1.1\r\n" + HOST + b"X-A: b\rX-B: c\r\n\r\n",
    "a NUL": b"GET /a HTTP/1.1\r\n" + HOST + b"X-A: b\x00c\r\n\r\n",
    "a name with a blank": b"GET /a HTTP/1.1\r\n" + HOST + b"X A: b\r\n\r\n",
    "a line without a name": b"GET /a HTTP/1.1\r\n" + HOST + b"XA\r\n\r\n",
    "a blank before the first field": b"GET /a HTTP/1.1\r\n " + HOST + b"\r\n",
    "two hosts": b"GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "a host that is none": b"GET /a HTTP/1.1\r\nHost: a/b?c\r\nConnection: close\r\n\r\n",
    "the first version": b"GET /a\r\n\r\n",
}
TARGETS = {
    "a URL without a host": b"http:///a",
    "a URL with a user": b"http://user@cloud.example.com/a",
    "a URL of another scheme": b"ftp://cloud.example.com/a",
    "a fragment": b"/a#/../thumb",
    "a blank": b"/a /b",
    "a control character": b"/a\x01b",
    "no slash": b"a/thumb",
    "dots": b"/a/../thumb",
    "encoded dots": b"/a/%2e%2E/thumb",
    "dots behind an encoded slash": b"/a/..%2fthumb",
    "dots between other slashes": b"/a\\..\\thumb",
    "one dot": b"/./api/v4/file/thumb",
    "dots at the end": b"/a/..",
}


@pytest.mark.parametrize(
    "raw", [pytest.param(raw, id=name) for cases in (LENGTHS, CODINGS, CHUNKS, HEADS) for name, raw in cases.items()]
)
async def test_a_request_that_can_be_read_in_two_ways_is_refused(scripted: ScriptedSetup, raw: bytes) -> None:
    """Once, and the connection is at its end: what follows on it could be anything."""
    answer = await scripted.refusal(raw)
    assert answer.split(b" ", 2)[:2] in ([b"HTTP/1.1", b"400"], [b"HTTP/1.1", b"501"])
    assert b"\r\n\r\nHTTP/" not in answer


@pytest.mark.parametrize("target", [pytest.param(target, id=name) for name, target in TARGETS.items()])
async def test_a_target_that_can_be_read_in_two_ways_is_refused(scripted: ScriptedSetup, target: bytes) -> None:
    """One server would serve it, the other would pass it on."""
    answer = await scripted.refusal(request().replace(b"GET / ", b"GET " + target + b" ", 1))
    assert answer.split(b" ", 2)[1] == b"400"


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"CONNECT elsewhere:80", 405), (b"OPTIONS *", 404), (b"get /a", 400), (b"PRI *", 400), (b"FOO /a", 400)],
)
async def test_requests_for_no_resource_of_ours_are_not_passed_on(
    scripted: ScriptedSetup, line: bytes, status: int
) -> None:
    answer = await scripted.refusal(request().replace(b"GET /", line, 1))
    assert int(answer.split(b" ", 2)[1]) == status


async def test_a_trailer_is_no_field_of_the_next_request(scripted: ScriptedSetup) -> None:
    """Behind a load balancer the next request on a connection is somebody else's."""
    trailer = b"0\r\nAuthorization: Bearer of-the-attacker\r\n\r\n"
    async with scripted.line() as line:
        asked = request("/a", "Transfer-Encoding: chunked", method="PUT").replace(b"Connection: close\r\n", b"")
        await line.say(asked + chunked(b"abc")[:-5] + trailer + NEXT)
        call = await scripted.cloudreve.call()
        assert await call.hear(b"0\r\n\r\n") == chunked(b"abc")
        await call.answer()
        following = await scripted.cloudreve.call()
        assert "Authorization" not in following.fields
        await following.answer()
        answer = await line.hear_all()
    assert answer.count(b"HTTP/1.1 200 ") == 2


async def test_a_body_behind_a_request_that_the_gateway_serves_is_no_request(scripted: ScriptedSetup) -> None:
    """It belongs to the request before it, which did not need it."""
    async with scripted.line() as line:
        await line.say(b"GET /healthz HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(NEXT) + NEXT)
        assert (await line.hear(b"alive\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        await line.say(NEXT.replace(b"/admin", b"/b"))
        call = await scripted.cloudreve.call()
        assert call.line == "GET /b HTTP/1.1"
        await call.answer()
        assert (await line.hear_all()).endswith(b"ok")
