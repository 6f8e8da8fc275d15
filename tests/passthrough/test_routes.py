"""Requests that the gateway does not serve itself: to Cloudreve and back, message by message."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.passthrough import client as passthrough
from proxy.passthrough import upload
from tests.harness.gateways import gateway_of
from tests.harness.scripted_cloudreve import OK, ScriptedCloudreve, ScriptedSetup, chunked, passing, request

EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedSetup]:
    """Run a gateway that passes everything on, and trusts nobody."""
    async with passing(trusted_proxies=[]) as opened:
        yield opened


def fields(answer: bytes) -> list[str]:
    """List the lines of an answer's head below the first."""
    return answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]


def problem(answer: bytes) -> dict[str, Any]:
    """Read the body of an error, which says so."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/problem+json" in head
    told: dict[str, Any] = json.loads(body)
    assert told["status"] == int(head.split()[1])
    return told


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/?",
        "/a?",
        "//x//?a=b?c&d=%zz",
        "/api/v4/file/content/x/0/a%20b.jpg?sign=a:1%3D",
        '/%2f%0a;x="<>\\^`{|}~',
        "/thumb/",
    ],
)
async def test_a_target_arrives_byte_for_byte(scripted: ScriptedSetup, target: str) -> None:
    call, answer = await scripted.ask(request(target))
    assert call.line == f"GET {target} HTTP/1.1"
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nok")


METHODS = "DELETE OPTIONS PATCH POST PUT PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH ACL"


@pytest.mark.parametrize("method", METHODS.split())
async def test_every_method_passes_with_its_body(scripted: ScriptedSetup, method: str) -> None:
    call, answer = await scripted.ask(
        request("/dav/a", "Depth: 1", "Content-Length: 4", method=method, body=b"<a/>"), EMPTY
    )
    assert call.line == f"{method} /dav/a HTTP/1.1"
    assert call.fields["Depth"] == ["1"]
    assert call.received == b"<a/>"
    assert answer.startswith(b"HTTP/1.1 204 No Content\r\n")


async def test_a_request_arrives_with_what_it_brought_and_nothing_that_it_did_not(scripted: ScriptedSetup) -> None:
    """No `Accept`, no `User-Agent` and no `Content-Type` of aiohttp's."""
    call, _ = await scripted.ask(
        request("/", "X-Cr-Client-Id: a", "Accept: x", "Accept: y", "Destination: /dav/\u65e5")
    )
    assert call.fields == {
        "Host": ["cloud.example.com"],
        "X-Cr-Client-Id": ["a"],
        "Accept": ["x", "y"],
        "Destination": ["/dav/\u65e5"],
        "X-Forwarded-For": ["127.0.0.1"],
        "X-Real-IP": ["127.0.0.1"],
        "X-Forwarded-Proto": ["http"],
        "X-Forwarded-Host": ["cloud.example.com"],
        "Via": ["1.1 thumb-proxy"],
    }


async def test_an_answer_arrives_as_it_was_sent(scripted: ScriptedSetup) -> None:
    """Any status, any reason, every cookie in its order; nothing is added but our signature."""
    sent = [
        "set-cookie: a=1",
        "Content-Length: 3",
        "Set-Cookie: b=2; HttpOnly",
        "Server: Cloudreve",
        "Date: Mon, 23 Nov 2026 13:00:00 GMT",
        "Location: http://elsewhere/\u65e5",
        'ETag: "x"',
        "X-Empty: ",
    ]
    said = "\r\n".join(["HTTP/1.1 599 My Own", *sent, "", "abc"]).encode()
    _, answer = await scripted.ask(request(), said)
    assert answer.startswith(b"HTTP/1.1 599 My Own\r\n")
    assert answer.endswith(b"\r\n\r\nabc")
    assert fields(answer) == [*sent, "Via: 1.1 thumb-proxy", "Connection: close"]


@pytest.mark.parametrize(
    "status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"]
)
async def test_a_redirect_is_the_visitors_to_follow(scripted: ScriptedSetup, status: str) -> None:
    said = f"HTTP/1.1 {status}\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n".encode()
    _, answer = await scripted.ask(request("/a"), said)
    assert answer.startswith(f"HTTP/1.1 {status}\r\n".encode())
    assert "Location: /b" in fields(answer)
    assert scripted.cloudreve.is_silent


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_an_answer_without_a_body_gets_none(scripted: ScriptedSetup, status: str) -> None:
    _, answer = await scripted.ask(request(), f'HTTP/1.1 {status}\r\nETag: "x"\r\n\r\n'.encode())
    assert answer.startswith(f"HTTP/1.1 {status}\r\n".encode())
    assert answer.endswith(b"\r\n\r\n")
    assert not [line for line in fields(answer) if line.lower().startswith(("content-", "transfer-"))]


async def test_head_tells_the_length_of_what_get_would_bring(scripted: ScriptedSetup) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 123456\r\nAccept-Ranges: bytes\r\n\r\n"
    call, answer = await scripted.ask(request("/dav/a", method="HEAD"), said)
    assert call.line == "HEAD /dav/a HTTP/1.1"
    assert {"Content-Length: 123456", "Accept-Ranges: bytes"} <= set(fields(answer))
    assert answer.endswith(b"\r\n\r\n")


async def test_a_range_is_asked_for_and_answered_as_such(scripted: ScriptedSetup) -> None:
    said = b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-3/9\r\nContent-Length: 3\r\n\r\nabc"
    call, answer = await scripted.ask(request("/a", "Range: bytes=1-3", 'If-Range: "x"'), said)
    assert (call.fields["Range"], call.fields["If-Range"]) == (["bytes=1-3"], ['"x"'])
    assert answer.startswith(b"HTTP/1.1 206 Partial Content\r\n")
    assert "Content-Range: bytes 1-3/9" in fields(answer)


async def test_compressed_bodies_stay_as_they_are(scripted: ScriptedSetup) -> None:
    """Both ways: nobody here unpacks them, be they genuine or not."""
    packed, wrong = gzip.compress(b"a" * 999), b"no gzip at all"
    asked = request("/a", f"Content-Length: {len(wrong)}", "Content-Encoding: gzip", method="PUT", body=wrong)
    said = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(packed), packed)
    call, answer = await scripted.ask(asked, said)
    assert call.fields["Content-Encoding"] == ["gzip"]
    assert call.received == wrong
    assert answer.endswith(b"\r\n\r\n" + packed)


async def test_a_body_in_chunks_arrives_in_chunks(scripted: ScriptedSetup) -> None:
    """Each way, whatever the size of the chunks, which is nobody's business."""
    asked = request("/a", "Transfer-Encoding: chunked", method="PUT", body=chunked(b"abc", b"d" * 99_999))
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"xy", b"z")
    call, answer = await scripted.ask(asked, said)
    assert "Content-Length" not in call.fields
    assert call.received == b"abc" + b"d" * 99_999
    assert "Transfer-Encoding: chunked" in fields(answer)
    assert answer.endswith(chunked(b"xyz"))


async def test_the_old_version_is_answered_in_its_own_way(scripted: ScriptedSetup) -> None:
    """Without chunks, which it does not know: the end of the body is the end of the connection."""
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc")
    call, answer = await scripted.ask(b"GET /a HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", said)
    assert call.line == "GET /a HTTP/1.1"
    assert call.fields["Host"] == [scripted.cloudreve.url.removeprefix("http://")]
    assert call.fields["Via"] == ["1.0 thumb-proxy"]
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"\r\n\r\nabc")


async def test_the_old_version_is_not_kept_waiting_for_the_end(scripted: ScriptedSetup) -> None:
    """Nor given another answer as a part of the first, though it has asked for a connection that stays."""
    said = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"abc")
    asked = b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    _, answer = await scripted.ask(asked + asked, said)
    assert b"keep-alive" not in answer
    assert answer.endswith(b"\r\n\r\nabc")
    async with scripted.line() as line:
        await line.say(asked)
        await (await scripted.cloudreve.call()).answer()
        assert b"\r\nConnection: keep-alive\r\n" in await line.hear(b"\r\n\r\nok")


async def test_an_upload_knows_no_limit_of_ours(scripted: ScriptedSetup) -> None:
    """Neither the megabyte of aiohttp's nor that of pictures."""
    body = bytes(range(256)) * 16_384
    asked = request("/api/v4/file/upload/x/0", f"Content-Length: {len(body)}", method="POST", body=body)
    async with scripted.line() as line:
        line.writer.write(asked)
        call = await scripted.cloudreve.call()
        assert await call.body() == body
        await call.answer()
        assert (await line.hear_all()).endswith(b"ok")


@pytest.mark.parametrize(
    "path", ["/thumb?uri=x", "/%74humb?uri=x", "/api/v4/file/thumb", "/session", "/healthz", "/readyz"]
)
async def test_the_gateway_s_own_paths_are_not_passed_on(scripted: ScriptedSetup, path: str) -> None:
    assert b"Via:" not in await scripted.refusal(request(path))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/thumb"),
        ("POST", "/api/v4/file/thumb"),
        ("PUT", "/healthz"),
        ("PUT", "/session"),
        ("GET", "/session/authorize"),
    ],
)
async def test_paths_beside_the_gateway_s_own_are_passed_on(scripted: ScriptedSetup, method: str, path: str) -> None:
    """Cloudreve answers what is Cloudreve's, a 404 included."""
    call, _ = await scripted.ask(request(path, method=method))
    assert call.line == f"{method} {path} HTTP/1.1"


async def test_nothing_is_passed_unless_the_configuration_says_so() -> None:
    """Off by default: whoever only wants thumbnails opens no second door to the site."""
    async with ScriptedCloudreve() as cloudreve, gateway_of(cloudreve.url) as gateway:
        assert (await gateway.send("GET", "/home")).problem["status"] == 404
        assert (await gateway.send("PROPFIND", "/dav/a")).problem["status"] == 404
        assert (await gateway.send("POST", "/thumb")).problem["status"] == 405
        assert cloudreve.is_silent


async def test_an_address_that_a_trusted_proxy_tells_is_passed() -> None:
    """With its scheme and host, and without what the visitor has told the proxy."""
    async with passing(trusted_proxies=["127.0.0.1"]) as scripted:
        told = [
            "X-Forwarded-For: 6.6.6.6, 198.51.100.7",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: Files.example.com",
        ]
        call, _ = await scripted.ask(request("/", *told))
    assert call.fields["X-Forwarded-For"] == ["198.51.100.7, 127.0.0.1"]
    assert call.fields["X-Forwarded-Proto"] == ["https"]
    assert call.fields["X-Forwarded-Host"] == call.fields["Host"] == ["files.example.com"]


async def test_a_client_waiting_for_100_continue_gets_it_from_cloudreve(scripted: ScriptedSetup) -> None:
    asked = request("/dav/a", "Content-Length: 3", "Expect: 100-continue", method="PUT")
    async with scripted.line() as line:
        await line.say(asked)
        call = await scripted.cloudreve.call()
        assert call.fields["Expect"] == ["100-continue"]
        await call.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await line.hear(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await line.say(b"abc")
        assert await call.body() == b"abc"
        await call.answer()
        assert (await line.hear_all()).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_without_100_continue_the_client_gets_the_reason_and_sends_nothing(scripted: ScriptedSetup) -> None:
    asked = request("/dav/a", "Content-Length: 3", "Expect: 100-continue", method="PUT")
    async with scripted.line() as line:
        await line.say(asked)
        call = await scripted.cloudreve.call()
        await call.say(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        answer = await line.hear(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
        assert "Connection: close" in fields(answer)
        assert await call.hear_all() == b""


async def test_a_body_goes_at_last_to_who_gives_no_leave(
    scripted: ScriptedSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some servers do not know how: the visitor is not to wait for it for ever."""
    monkeypatch.setattr(upload, "CONTINUE_S", 0)
    asked = request("/dav/a", "Content-Length: 3", "Expect: 100-continue", method="PUT")
    async with scripted.line() as line:
        await line.say(asked)
        call = await scripted.cloudreve.call()
        assert await line.hear(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await line.say(b"abc")
        assert await call.body() == b"abc"


async def test_cloudreve_away_is_told_as_such(scripted: ScriptedSetup) -> None:
    """By the gateway itself: 503, and when to come again."""
    await scripted.cloudreve.close()
    answer = await scripted.refusal(request("/a"))
    assert problem(answer)["status"] == 503
    assert "Retry-After: 2" in fields(answer)


@pytest.mark.parametrize(
    "said",
    [
        b"no HTTP at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 Early\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
)
async def test_an_answer_that_is_none_is_a_bad_gateway(scripted: ScriptedSetup, said: bytes) -> None:
    _, answer = await scripted.ask(request("/a"), said)
    assert problem(answer)["status"] == 502


async def test_a_reason_that_nobody_can_print_is_left_out(scripted: ScriptedSetup) -> None:
    """It says nothing to programs anyway (RFC 9112 §4)."""
    _, answer = await scripted.ask(request("/a"), b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 \r\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "MOVE"])
async def test_a_request_that_changes_something_is_sent_once(scripted: ScriptedSetup, method: str) -> None:
    """Cloudreve may have done it before its connection broke: who asked decides about a second time."""
    async with scripted.line() as line:
        await line.say(request("/a", method=method))
        call = await scripted.cloudreve.call()
        call.hang_up()
        assert problem(await line.hear_all())["status"] == 502
    assert scripted.cloudreve.is_silent


async def test_a_read_is_repeated_when_a_kept_connection_has_ended(scripted: ScriptedSetup) -> None:
    first, _ = await scripted.ask(request("/a"))
    async with scripted.line() as line:
        await line.say(request("/b"))
        second = await scripted.cloudreve.call()
        assert second.number == first.number
        second.hang_up()
        third = await scripted.cloudreve.call()
        assert third.number != first.number
        await third.answer()
        assert (await line.hear_all()).endswith(b"ok")


@pytest.mark.parametrize("target", ["/", "/thumb?uri=cloudreve://x@my/"])
async def test_an_unsolicited_response_of_cloudreve_answers_nothing(scripted: ScriptedSetup, target: str) -> None:
    """Some servers say 408 on a connection that is kept; the next request on it may be anybody's (RFC 9112 §9.2)."""
    async with scripted.line() as line:
        await line.say(request(target + "a"))
        first = await scripted.cloudreve.call()
        await first.answer()
        await line.hear_all()
    await first.say(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    await scripted.gateway.send("GET", "/healthz")
    second, answer = await scripted.ask(request(target + "b"))
    assert second.number != first.number
    assert b"Request Timeout" not in answer


async def test_a_request_that_changes_something_has_its_own_connection(scripted: ScriptedSetup) -> None:
    """One that is kept could end at the moment at which it is used."""
    first, _ = await scripted.ask(request("/a"))
    second, _ = await scripted.ask(request("/a", method="POST"))
    third, _ = await scripted.ask(request("/a"))
    assert (first.number == third.number) is (second.number != first.number) is True


async def test_cloudreve_may_not_think_for_ever_about_what_only_reads(
    scripted: ScriptedSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway timeout; what changes something, such as copying a folder, takes what it takes."""
    monkeypatch.setattr(passthrough, "FIRST_BYTE_S", 0.2)
    async with scripted.line() as reading, scripted.line() as changing:
        await changing.say(request("/dav/a", method="COPY"))
        copy = await scripted.cloudreve.call()
        await reading.say(request("/a"))
        call = await scripted.cloudreve.call()
        assert problem(await reading.hear_all())["status"] == 504
        assert await call.hear_all() == b""
        await copy.answer()
        assert (await changing.hear_all()).endswith(b"ok")


async def test_a_gateway_that_leads_back_to_itself_is_noticed(scripted: ScriptedSetup) -> None:
    answer = await scripted.refusal(request("/a", "Via: 1.1 nginx, 1.1 thumb-proxy"))
    assert problem(answer)["status"] == 508


async def test_a_passed_request_is_counted_and_told_without_its_path(
    scripted: ScriptedSetup, log_entries: list[Any]
) -> None:
    await scripted.ask(request("/a/secret?sign=secret", "Authorization: Bearer secret"))
    assert scripted.gateway.count("requests_total", outcome="pass") == 1
    assert scripted.gateway.count("upstream_calls_total", verb="pass", outcome="ok") == 1
    told = [entry for entry in log_entries if entry["event"] == "request"]
    assert [(entry["method"], entry["outcome"], entry["status"]) for entry in told] == [("GET", "pass", 200)]
    assert "secret" not in str(log_entries)


async def test_a_failure_is_counted_as_what_it_is(scripted: ScriptedSetup) -> None:
    """By its category, among the requests and among the calls."""
    await scripted.ask(request("/a"), b"no HTTP at all\r\n\r\n")
    assert scripted.gateway.count("requests_total", outcome="upstream") == 1
    assert scripted.gateway.count("upstream_calls_total", verb="pass", outcome="upstream") == 1


async def test_pictures_are_served_beside_what_is_passed(scripted: ScriptedSetup) -> None:
    """The thumbnails' way to Cloudreve and the other's do not share connections."""
    call, _ = await scripted.ask(request("/a"))
    async with scripted.line() as line:
        await line.say(request("/thumb?uri=cloudreve://x@my/a.png"))
        resolve = await scripted.cloudreve.call()
        assert resolve.number != call.number
        assert resolve.line.startswith("GET /api/v4/file/thumb?uri=")
        body = b'{"code":404,"msg":""}'
        await resolve.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        assert problem(await line.hear_all())["status"] == 404


async def test_one_connection_may_ask_many_things(scripted: ScriptedSetup) -> None:
    async with scripted.line() as line:
        for _ in range(2):
            await line.say(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            await (await scripted.cloudreve.call()).answer()
            assert (await line.hear(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200 OK\r\n")
            await line.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await line.hear(b"alive\n")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert OK.endswith(b"ok")
