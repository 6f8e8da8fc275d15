"""Heads arrive with the bytes, forms and meanings that they were sent with, both ways."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from tests.harness.scripted_cloudreve import ScriptedSetup, passing, request

BYTES = {"latin-1": b"caf\xe9", "GBK": b"\xce\xc4\xbc\xfe", "UTF-8": "日落".encode(), "mixed": b"\xff\x80\xe6\x97\xa5"}


def has_line(head: bytes, line: bytes) -> bool:
    """Tell whether a head has this field line."""
    return b"\r\n" + line + b"\r\n" in head


@pytest.mark.parametrize("value", BYTES.values(), ids=BYTES)
@pytest.mark.parametrize("body", [b"", b"abc"], ids=["no body", "a body"])
async def test_field_values_are_opaque_bytes(scripted: ScriptedSetup, value: bytes, body: bytes) -> None:
    """In requests and answers, names of files and cookies among them (RFC 9110 §5.5)."""
    lines = [b"X-Note: a " + value, b"Cookie: name=" + value + b"; b=c"]
    asked = request("/a", *[f"Content-Length: {len(body)}"] * bool(body), method="PUT" if body else "GET")
    asked = asked[:-2] + b"\r\n".join([*lines, b"", b""]) + body
    told = [b"Content-Disposition: attachment; filename=" + value, b"Set-Cookie: name=" + value]
    answer = b"\r\n".join([b"HTTP/1.1 200 OK", *told, b"Content-Length: 2", b"", b"ok"])
    call, answered = await scripted.ask(asked, answer)
    assert call.received == body
    assert all(has_line(call.head, line) for line in lines)
    assert all(has_line(answered, line) for line in told)
    assert answered.endswith(b"\r\n\r\nok")


async def test_a_head_with_other_bytes_comes_to_a_kept_connection_as_well(scripted: ScriptedSetup) -> None:
    for number in range(3):
        call, answered = await scripted.ask(
            request(f"/{number}", method="GET").replace(b"\r\n\r\n", b"\r\nX: \xe9\r\n\r\n")
        )
        assert (call.line, has_line(call.head, b"X: \xe9")) == (f"GET /{number} HTTP/1.1", True)
        assert answered.endswith(b"ok")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Cookie: sid=1", "cookie: theme=dark"], [b"Cookie: sid=1; theme=dark"]),
        (["cookie: a=1", "COOKIE: b=2", "Cookie: c=3"], [b"cookie: a=1; b=2; c=3"]),
        (["Cookie: a=1", "Cookie: b=2"], [b"Cookie: a=1; b=2"]),
        (["via: 1.1 a", "Via: 1.1 b"], [b"via: 1.1 a", b"via: 1.1 b"]),
        (["X-Tag: a", "x-tag: b", "X-TAG: c"], [b"X-Tag: a", b"X-Tag: b", b"X-Tag: c"]),
    ],
)
async def test_request_fields_that_differ_in_case_are_all_kept(
    scripted: ScriptedSetup, lines: list[str], expected: list[bytes]
) -> None:
    """In their order; lines of cookies become one (RFC 9110 §5.3, RFC 6265 §5.4)."""
    call, _ = await scripted.ask(request("/a", *lines))
    assert all(has_line(call.head, line) for line in expected)
    places = [call.head.index(line) for line in expected]
    assert places == sorted(places)


@pytest.mark.parametrize("method", ["GET", "PROPFIND"])
async def test_raw_bytes_in_a_target_count_as_percent_encoded(scripted: ScriptedSetup, method: str) -> None:
    asked = request("/dav/x", method=method).replace(b"/dav/x", "/dav/文件?a=é".encode())
    call, answered = await scripted.ask(asked)
    assert call.line == f"{method} /dav/%E6%96%87%E4%BB%B6?a=%C3%A9 HTTP/1.1"
    assert answered.endswith(b"ok")


async def test_raw_bytes_in_a_file_uri_count_as_percent_encoded(scripted: ScriptedSetup) -> None:
    """At `/thumb`: Cloudreve is asked for the file."""
    said = b'{"code":404,"msg":""}'
    asked = request("/thumb?uri=x").replace(b"uri=x", "uri=cloudreve://abcd@share/日落%20(1).png".encode())
    async with scripted.line() as line:
        await line.say(asked)
        for _ in ("whose share it is", "the thumbnail"):
            call = await scripted.cloudreve.call()
            await call.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        assert (await line.hear_all()).startswith(b"HTTP/1.1 404 ")
    asked_for = unquote(unquote(call.line.split()[1].partition("uri=")[2]))
    assert asked_for == "cloudreve://abcd@share/日落 (1).png"


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("http://Cloud.example.org:8080/a?b=c", "GET /a?b=c HTTP/1.1"),
        ("HTTPS://cloud.example.org", "GET / HTTP/1.1"),
        ("http://cloud.example.org?x", "GET /?x HTTP/1.1"),
    ],
)
async def test_absolute_targets_are_passed_as_paths(scripted: ScriptedSetup, target: str, line: str) -> None:
    """Their host replaces `Host` (RFC 9112 §3.2.2)."""
    call, answered = await scripted.ask(request(target))
    host = target.partition("//")[2].partition("/")[0].partition("?")[0]
    assert (call.line, call.fields["Host"]) == (line, [host])
    assert answered.endswith(b"ok")


async def test_a_later_minor_version_is_answered_in_ours(scripted: ScriptedSetup) -> None:
    """RFC 9110 §2.5."""
    call, answered = await scripted.ask(request("/a").replace(b"HTTP/1.1", b"HTTP/1.2"))
    assert call.line == "GET /a HTTP/1.1"
    assert answered.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_no_status_line_says_the_old_version(scripted: ScriptedSetup) -> None:
    """An answer names the server's own version (RFC 9110 §6.2), and says to HTTP/1.0 that it is the last."""
    for raw in (b"GET /healthz HTTP/1.0\r\n\r\n", b"nonsense\r\n\r\n", b"GET /thumb HTTP/1.0\r\n\r\n"):
        answer = await scripted.refusal(raw)
        assert answer.startswith(b"HTTP/1.1 ")
        assert has_line(answer, b"Connection: close")


@pytest.mark.parametrize(("method", "status"), [("OPTIONS", 204), ("TRACE", 405)])
async def test_a_request_that_may_go_no_farther_is_answered_here(
    scripted: ScriptedSetup, method: str, status: int
) -> None:
    """`Max-Forwards: 0` (RFC 9110 §7.6.2)."""
    answer = await scripted.refusal(request("/a", "Max-Forwards: 0", method=method))
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert has_line(answer, b"Allow: DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")


async def test_max_forwards_counts_down(scripted: ScriptedSetup) -> None:
    for method, value in (("OPTIONS", "4"), ("TRACE", "4"), ("GET", "5"), ("DELETE", "5")):
        call, _ = await scripted.ask(request("/a", "Max-Forwards: 5", method=method))
        assert call.fields["Max-Forwards"] == [value]


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
async def test_426_keeps_the_protocols_that_it_asks_for(scripted: ScriptedSetup, connection: str) -> None:
    """Without them the answer means nothing (RFC 9110 §15.5.22)."""
    lines = [
        b"HTTP/1.1 426 Upgrade Required",
        b"Connection: Upgrade",
        b"Upgrade: HTTP/2.0, websocket",
        b"Content-Length: 0",
    ]
    told = b"\r\n".join([*lines, b"", b""])
    async with scripted.line() as line:
        await line.say(request("/a").replace(b"Connection: close", f"Connection: {connection}".encode()))
        await (await scripted.cloudreve.call()).answer(told)
        answer = await line.hear(b"\r\n\r\n")
    assert has_line(answer, b"Upgrade: HTTP/2.0, websocket")
    assert has_line(answer, b"Connection: close, Upgrade" if connection == "close" else b"Connection: Upgrade")


@pytest.mark.parametrize("target", ["/healthz", "/readyz", "/thumb", "/api/v4/file/thumb", "/session"])
async def test_head_has_the_status_of_get_and_no_body(target: str) -> None:
    """Wherever there is GET (RFC 9110 §9.1)."""
    async with passing(passthrough=False) as scripted:
        answers = [await scripted.refusal(request(target, method=method)) for method in ("GET", "HEAD")]
    first, second = (answer.partition(b"\r\n\r\n") for answer in answers)
    assert first[0].split(b"\r\n")[0] == second[0].split(b"\r\n")[0]
    assert (bool(first[2]), second[2]) == (True, b"")
