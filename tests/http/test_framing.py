"""Heads and bodies are cut off what comes, in any pieces, and brought to one form."""

from __future__ import annotations

import pytest

from proxy.domain.errors import BadRequest, ProxyError
from proxy.http.framing import Body, ChunkedBody, HeadReader, LengthBody, Limits

LIMITS = Limits(100, 200, 5)
REST = b"Host: x\r\n\r\n"
OTHER_BYTES = b"GET /a HTTP/1.1\r\nHost: [::1]:8080\r\nX: caf\xe9\r\n\r\n"

ONE_FORM = {
    b"GET /a HTTP/1.1\r\n" + REST: b"GET /a HTTP/1.1\r\n" + REST,
    b"\r\n\r\nGET /a HTTP/1.1\r\n" + REST: b"GET /a HTTP/1.1\r\n" + REST,
    b"GET /a HTTP/1.2\r\n" + REST: b"GET /a HTTP/1.1\r\n" + REST,
    b"GET /a HTTP/1.9\r\n" + REST: b"GET /a HTTP/1.1\r\n" + REST,
    b"GET /a HTTP/1.0\r\n\r\n": b"GET /a HTTP/1.0\r\n\r\n",
    b"PROPFIND /\xe6\x97\xa5?\xe9 HTTP/1.1\r\n" + REST: b"PROPFIND /%E6%97%A5?%E9 HTTP/1.1\r\n" + REST,
    b"GET http://y:80/a?b HTTP/1.1\r\n" + REST: b"GET /a?b HTTP/1.1\r\nHost: y:80\r\n\r\n",
    b"GET HTTPS://y HTTP/1.1\r\nA: b\r\nhOST:x\r\n\r\n": b"GET / HTTP/1.1\r\nHost: y\r\nA: b\r\n\r\n",
    b"GET http://y?b HTTP/1.0\r\n\r\n": b"GET /?b HTTP/1.0\r\nHost: y\r\n\r\n",
    b"OPTIONS http://y HTTP/1.1\r\n" + REST: b"OPTIONS * HTTP/1.1\r\nHost: y\r\n\r\n",
    OTHER_BYTES: OTHER_BYTES,
}
REFUSED = {
    b"GET /a\r\n": 400,
    b"GET /a RTSP/1.0\r\n": 400,
    b"GET /a HTTP/1.10\r\n": 400,
    b"GET  /a HTTP/1.1\r\n": 400,
    b"G(T /a HTTP/1.1\r\n": 400,
    b"PRI * HTTP/2.0\r\n": 505,
    b"GET /a HTTP/0.9\r\n": 505,
    b"CONNECT y:443 HTTP/1.1\r\n": 405,
    b"GET /" + b"a" * 100: 414,
    b"GET /a HTTP/1.1\r\nX: " + b"a" * 100 + b"\r\n": 431,
    b"GET /a HTTP/1.1\r\n" + b"X: a\r\n" * 7: 431,
    b"GET /a HTTP/1.1\r\n" + (b"X: " + b"a" * 90 + b"\r\n") * 2: 431,
    b"GET /a HTTP/1.1\nHost: x\n\n": 400,
    b"GET /a HTTP/1.1\nHost: x\n\nGET /" + b"a" * 100 + b" HTTP/1.1\r\n" + REST: 400,
    b"GET /a HTTP/1.1\r\nX: a\rb": 400,
    b"\x16\x03\x01\x02\x00": 400,
    b"GET /a HTTP/1.1\r\nX: a\x00": 400,
    b"GET /a HTTP/1.1\r\n\r\n": 400,
    b"GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n": 400,
    b"GET /a HTTP/1.1\r\nHost: a b\r\n\r\n": 400,
    b"GET http://y/a HTTP/1.1\r\nHost: a b\r\n\r\n": 400,
    b"GET http:///a HTTP/1.1\r\n" + REST: 400,
    b"GET http://u@y/a HTTP/1.1\r\n" + REST: 400,
    b"GET y/a HTTP/1.1\r\n" + REST: 400,
    b"POST /a HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n" + REST: 501,
    b"POST /a HTTP/1.1\r\ntransfer-encoding: identity\r\n" + REST: 501,
    b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + REST: 400,
    b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n": 400,
}


def heads(pieces: list[bytes]) -> list[bytes]:
    """Take all heads off pieces that come one by one."""
    reader, held, found = HeadReader(LIMITS), b"", []
    for piece in pieces:
        held += piece
        while held:
            _, head, held = reader.take(held)
            if not head:
                break
            found.append(head)
    assert not held
    return found


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[place : place + 1] for place in range(len(data))]


@pytest.mark.parametrize(("raw", "head"), ONE_FORM.items(), ids=map(repr, ONE_FORM))
def test_heads_have_one_form(raw: bytes, head: bytes) -> None:
    """In one piece and byte by byte, one behind the other."""
    assert heads([raw + raw]) == heads(byte_by_byte(raw + raw)) == [head, head]


@pytest.mark.parametrize(("raw", "status"), REFUSED.items(), ids=map(repr, REFUSED))
def test_heads_that_cannot_be_answered_are_refused_at_once(raw: bytes, status: int) -> None:
    """With the true status, as soon as it is certain, and behind a good one as well."""
    for pieces in ([raw], byte_by_byte(raw), [next(iter(ONE_FORM)) + raw]):
        with pytest.raises(ProxyError) as caught:
            heads(pieces)
        assert caught.value.status == status
        assert "/a" not in caught.value.detail


def taken(body: Body, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """Take a body off pieces that come one by one; give it and what follows."""
    held, given = b"", b""
    for piece in pieces:
        before = None
        held += piece
        while held and held != before and not body.is_complete:
            before = held
            some, held = body.take(held)
            given += some
    assert body.is_complete
    return given, held


def test_a_body_with_a_length_ends_where_it_says() -> None:
    for pieces in ([b"abcdeGET"], byte_by_byte(b"abcdeGET")):
        assert taken(LengthBody(5), pieces) == (b"abcde", b"GET")


@pytest.mark.parametrize(
    "raw",
    [
        b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
        b"03;a=b\r\nabc\r\na\r\n0123456789\r\n000;x\r\n\r\n",
        b"3\r\nabc\r\nA\r\n0123456789\r\n0\r\nAuthorization: Bearer x\r\nX: \r\n\r\n",
    ],
)
def test_chunks_are_given_on_without_extensions_and_trailers(raw: bytes) -> None:
    for pieces in ([raw + b"GET"], byte_by_byte(raw + b"GET")):
        assert taken(ChunkedBody(), pieces) == (b"3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n", b"GET")


@pytest.mark.parametrize(
    "raw",
    [
        *(b"zz\r\n", b"0x3\r\n", b"-3\r\n", b"3 \r\n", b"\r\n", b"\n", b"3\n", b"3;a\nb\r\n", b"f" * 16 + b"\r\n"),
        *(b"3\r\nabcd\r\n", b"3\r\nabc\n", b"0\r\nX\r\n", b"0\r\nX : a\r\n", b"0\r\n\n", b"1;" + b"a" * 5000),
        b"0\r\n" + (b"X: " + b"a" * 4000 + b"\r\n") * 17,
    ],
    ids=repr,
)
def test_chunks_that_break_http_are_refused(raw: bytes) -> None:
    for pieces in ([raw], byte_by_byte(raw)):
        with pytest.raises(BadRequest):
            taken(ChunkedBody(), pieces)
