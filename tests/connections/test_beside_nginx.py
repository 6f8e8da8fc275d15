"""Random connections, byte for byte the same to a gateway and to a real nginx: the same answers in the same order.

Where the two may differ, `LISTED` says how and why. `BESIDE_S` sets for how many seconds random connections go on, each
time others; the test then writes how many there were.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.connections.echo import Echo
from tests.harness.gateways import gateway_of
from tests.harness.redis_server import free_port

SECONDS = float(os.environ.get("BESIDE_S", "0"))
PATIENCE_S = 30.0
HOST = "Host: cloud.example.com"
LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    keepalive_requests 100000;
    large_client_header_buffers 4 16k;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""

LISTED: dict[str, tuple[frozenset[int], str]] = {
    "bare line feeds": (frozenset({400}), "servers read them differently: RFC 9112 §2.2 lets a server refuse them"),
    "the first version": (frozenset({400}), "HTTP/0.9 has no status and no fields, and is not spoken"),
    "an early version": (frozenset({505}), "RFC 9110 §15.6.6; nginx says 400"),
    "a method that is not known": (frozenset({400}), "the parser knows the registered methods only"),
    "a tunnel": (frozenset({405}), "RFC 9110 §9.3.6; nginx does not read the target, and says 400"),
    "a target that is a star": (frozenset({404}), "RFC 9110 §9.3.7 allows it; the gateway has nothing to say to it"),
    "a large field": (frozenset({431}), "RFC 6585 §5; nginx says 400"),
    "dots": (frozenset({400}), "nginx resolves them for choosing a location, and passes them on"),
    "a fragment": (frozenset({400}), "no request has one (RFC 9112 §3.2); nginx leaves it out"),
    "a blank in a chunk's size": (frozenset({400}), "nginx skips it; RFC 9112 §7.1 has none"),
    "a line feed in a chunk": (frozenset({400}), "nginx takes it for the end of a line"),
    "a trailer without a colon": (frozenset({400}), "nginx skips trailers unread"),
    "a control character in a field": (frozenset({400}), "RFC 9110 §5.5 has none; nginx refuses NUL only"),
    "a host with a user": (frozenset({400}), "RFC 9110 §7.2 has none; nginx takes any text for a name"),
}
"""Kinds of requests that get another answer than from nginx: which, and why. The connection ends with it."""


@dataclass(frozen=True)
class Asked:
    """One request of a connection."""

    kind: str
    raw: bytes

    @property
    def method(self) -> bytes:
        """Give the method."""
        return self.raw.lstrip(b"\r\n").split(b" ", 1)[0]

    @property
    def is_last(self) -> bool:
        """Tell whether its answer ends the connection by right."""
        head = self.raw.partition(b"\r\n\r\n")[0].lower()
        is_old = b" http/1.0\r\n" in head + b"\r\n" and b"connection: keep-alive" not in head
        return b"connection: close" in head or is_old

    @property
    def may_end(self) -> bool:
        """Tell whether its answer has no other end than that of the connection, to HTTP/1.0."""
        line = self.raw.lstrip(b"\r\n").partition(b"\r\n")[0]
        return line.endswith(b"HTTP/1.0") and b"/chunks" in line


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    body: bytes
    """Where the server behind has answered."""


def head(line: str, *fields: str) -> bytes:
    return "\r\n".join([line, *fields, "", ""]).encode("utf-8", "surrogateescape")


def chunked(body: bytes, size: int, extension: bytes, trailer: bytes) -> bytes:
    parts = [body[place : place + size] for place in range(0, len(body), size)]
    return b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts) + b"0\r\n%b\r\n" % trailer


BODIES = st.sampled_from([0, 1, 5, 1000, 20_000, 70_000]).map(lambda size: (b"body " * size)[:size])
FIELDS = st.lists(
    st.sampled_from(
        [
            *("X-A: b", "x-a: c", "X-Note: caf\udce9", "Cookie: a=b", "cookie: c=d", "Via: 1.1 a", "via: 1.1 b"),
            *("Connection: keep-alive", "Connection: X-A", "Upgrade: h2c", "Accept: */*"),
        ]
    ),
    max_size=3,
)
UPGRADES = st.sampled_from(
    [
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"),
        ("Connection: upgrade", "Upgrade: TLS/1.2"),
        ("Connection: Upgrade", "Upgrade: websocket"),
    ]
)
TARGETS = st.sampled_from(
    [
        *("/a", "/a?b=c", "/chunks", "/x/日落%20(1)", "/a%20b?c=%2F", "/caf\udce9", "//a//b", "/?", "/a?b=/../c"),
    ]
)
METHODS = st.sampled_from(["GET", "GET", "GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND"])
VERSIONS = st.sampled_from(["1.1"] * 8 + ["1.0", "1.2"])


@st.composite
def plain(draw: st.DrawFn) -> Asked:
    target = draw(TARGETS)
    version = draw(VERSIONS)
    if draw(st.integers(0, 9)) == 0:
        target = f"http://other.example.com{target}"
    more = draw(st.sampled_from([()] * 9 + [("Connection: close",)]))
    upgrade = draw(UPGRADES) if version == "1.1" and not more and draw(st.integers(0, 4)) == 0 else ()
    empty = draw(st.sampled_from([b"", b"", b"\r\n"]))
    is_apart = bool(more or upgrade)
    fields = [each for each in draw(FIELDS) if not is_apart or not each.startswith(("Connection", "Upgrade"))]
    return Asked("plain", empty + head(f"{draw(METHODS)} {target} HTTP/{version}", HOST, *fields, *more, *upgrade))


@st.composite
def with_body(draw: st.DrawFn) -> Asked:
    body = draw(BODIES)
    line = f"{draw(st.sampled_from(['POST', 'PUT', 'PROPFIND', 'GET']))} {draw(TARGETS)} HTTP/1.1"
    more = draw(st.sampled_from([(), (), ("Expect: 100-continue",), ("Connection: close",)]))
    if draw(st.booleans()):
        return Asked("with a length", head(line, HOST, f"Content-Length: {len(body)}", *more) + body)
    extension = draw(st.sampled_from([b"", b";a=b"]))
    trailer = draw(st.sampled_from([b"", b"Authorization: Bearer of-somebody\r\n"]))
    size = draw(st.sampled_from([7, 1000, 100_000]))
    written = chunked(body, size, extension, trailer)
    return Asked("in chunks", head(line, HOST, "Transfer-Encoding: chunked", *more) + written)


CHUNKS = "POST /a HTTP/1.1", HOST, "Transfer-Encoding: chunked"
BROKEN = [
    Asked("nonsense", b"nonsense\r\n\r\n"),
    Asked("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"),
    Asked("no host", head("GET /a HTTP/1.1")),
    Asked("two hosts", head("GET /a HTTP/1.1", HOST, HOST)),
    Asked("an empty host", head("GET /a HTTP/1.1", "Host:")),
    Asked("a host that is none", head("GET /a HTTP/1.1", "Host: a/b?c")),
    Asked("a host with a user", head("GET /a HTTP/1.1", "Host: user@a")),
    Asked("a later version", head("GET /a HTTP/2.0", HOST)),
    Asked("an early version", head("GET /a HTTP/0.9", HOST)),
    Asked("another protocol", head("GET /a RTSP/1.0", HOST)),
    Asked("the first version", b"GET /a\r\n"),
    Asked("a lower-case method", head("get /a HTTP/1.1", HOST)),
    Asked("a method that is not known", head("FOO /a HTTP/1.1", HOST)),
    Asked("a tunnel", head("CONNECT a:80 HTTP/1.1", HOST)),
    Asked("a target that is a star", head("OPTIONS * HTTP/1.1", HOST)),
    Asked("no slash", head("GET a HTTP/1.1", HOST)),
    Asked("a long target", head(f"GET /{'a' * 20_000} HTTP/1.1", HOST)),
    Asked("a large field", head("GET /a HTTP/1.1", HOST, f"X: {'a' * 20_000}")),
    Asked("dots", head("GET /a/../b HTTP/1.1", HOST)),
    Asked("a fragment", head("GET /a#b HTTP/1.1", HOST)),
    Asked("a control character in a target", head("GET /a\x7f HTTP/1.1", HOST)),
    Asked("bare line feeds", b"GET /a HTTP/1.1\nHost: a\n\n"),
    Asked("a line without a colon", head("GET /a HTTP/1.1", HOST, "no colon")),
    Asked("a name with a blank", head("GET /a HTTP/1.1", HOST, "X A: b")),
    Asked("a folded line", head("GET /a HTTP/1.1", HOST, "X-A: b", " c")),
    Asked("a NUL", head("GET /a HTTP/1.1", HOST, "X-A: b\x00c")),
    Asked("a control character in a field", head("GET /a HTTP/1.1", HOST, "X-A: b\x01c")),
    Asked("two lengths", head("POST /a HTTP/1.1", HOST, "Content-Length: 3", "Content-Length: 4") + b"abcd"),
    Asked("two lengths alike", head("POST /a HTTP/1.1", HOST, "Content-Length: 3", "Content-Length: 3") + b"abc"),
    Asked("a length that is none", head("POST /a HTTP/1.1", HOST, "Content-Length: x")),
    Asked("length and chunks", head(*CHUNKS, "Content-Length: 5") + b"0\r\n\r\n"),
    Asked("another coding", head("POST /a HTTP/1.1", HOST, "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n"),
    Asked("no coding", head("POST /a HTTP/1.1", HOST, "Transfer-Encoding: identity") + b"0\r\n\r\n"),
    Asked("chunks before there were any", head("POST /a HTTP/1.0", *CHUNKS[1:]) + b"0\r\n\r\n"),
    Asked("a chunk without a size", head(*CHUNKS) + b"zz\r\nabc\r\n0\r\n\r\n"),
    Asked("a chunk longer than it says", head(*CHUNKS) + b"3\r\nabcd\r\n0\r\n\r\n"),
    Asked("a chunk beyond all numbers", head(*CHUNKS) + b"f" * 20 + b"\r\nabc\r\n0\r\n\r\n"),
    Asked("a blank in a chunk's size", head(*CHUNKS) + b"3 \r\nabc\r\n0\r\n\r\n"),
    Asked("a line feed in a chunk", head(*CHUNKS) + b"3\nabc\n0\n\n"),
    Asked("a trailer without a colon", head(*CHUNKS) + b"0\r\nX\r\n\r\n"),
]
REQUESTS = st.one_of(plain(), plain(), with_body(), st.sampled_from(BROKEN))
LAST = Asked("plain", head("GET /last HTTP/1.1", HOST, "Connection: close"))
CUTS = st.lists(st.integers(0, 400), max_size=6)


@dataclass(frozen=True)
class Beside:
    """Both servers, by their ports."""

    gateway: int
    nginx: int


@asynccontextmanager
async def beside(folder: Path) -> AsyncIterator[Beside]:
    """Run both in front of the same server."""
    async with Echo() as echo, gateway_of(f"http://127.0.0.1:{echo.port}", server={"passthrough": True}) as gateway:
        with nginx(folder, echo.port) as port:
            await reachable(port)
            yield Beside(gateway.running.port, port)


@contextmanager
def nginx(folder: Path, upstream: int) -> Iterator[int]:
    """Run nginx in front of a server, and give its port."""
    port, user = free_port(), "user root;" if os.geteuid() == 0 else ""
    file = folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, port=port, upstream=upstream, user=user))
    command = [shutil.which("nginx") or "nginx", "-p", str(folder), "-c", str(file), "-e", str(folder / "start.log")]
    process = subprocess.Popen(command)  # noqa: S603 - our own files
    try:
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


async def reachable(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return


async def talk(port: int, pieces: Sequence[bytes]) -> bytes:
    """Send pieces that arrive one by one, and read until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading = asyncio.create_task(_all(reader))
    try:
        for piece in pieces:
            if reading.done():
                break
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            return await reading
    except ConnectionError:
        return await reading
    finally:
        reading.cancel()
        writer.transport.abort()


async def _all(reader: asyncio.StreamReader) -> bytes:
    heard = b""
    try:
        while chunk := await reader.read(65_536):
            heard += chunk
    except ConnectionError:
        return heard
    return heard


def answers(heard: bytes, asked: Sequence[Asked]) -> list[Answer]:
    """Read all answers; there may be fewer than requests, and nothing is left over."""
    found, rest = read(heard, asked)
    assert rest == b"", rest[:300]
    return found


def read(heard: bytes, asked: Sequence[Asked]) -> tuple[list[Answer], bytes]:
    """Read the answers to some requests; give them, and what follows."""
    found = []
    for each in asked:
        while heard.startswith(b"HTTP/1.1 100 "):
            heard = heard.partition(b"\r\n\r\n")[2]
        if not heard:
            break
        told, _, heard = heard.partition(b"\r\n\r\n")
        assert told.startswith(b"HTTP/1.1 "), (told, each.kind)
        body, heard = _body(told, heard, is_head=each.method == b"HEAD")
        found.append(Answer(int(told[9:12]), body if b"\r\nX-Echo: 1" in told else b""))
    return found, heard


def _body(told: bytes, heard: bytes, *, is_head: bool) -> tuple[bytes, bytes]:
    if is_head or told[9:12] in (b"204", b"304"):
        return b"", heard
    if b"\r\nTransfer-Encoding: chunked" in told:
        body = b""
        while True:
            size, _, heard = heard.partition(b"\r\n")
            body, heard = body + heard[: int(size, 16)], heard[int(size, 16) + 2 :]
            if int(size, 16) == 0:
                return body, heard
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", told)
    if length is None:
        return heard, b""
    assert len(heard) >= int(length[1]), "an answer is not whole"
    return heard[: int(length[1])], heard[int(length[1]) :]


def compare(asked: Sequence[Asked], ours: Sequence[Answer], theirs: Sequence[Answer]) -> None:
    """Look whether each request got the same answer from both, up to one that is listed."""
    for number, each in enumerate(asked):
        told = f"{number}: {each.kind}, {each.raw[:200]!r}"
        if each.kind in LISTED:
            assert ours[number].status in LISTED[each.kind][0], told
            return
        assert number < len(theirs), f"nginx does not answer {told}"
        assert number < len(ours), f"no answer to {told}"
        assert ours[number] == theirs[number], told
        if each.may_end and number + 1 in (len(ours), len(theirs)):
            return
        if each.is_last or ours[number].status >= 400:
            assert len(ours) == number + 1, f"answers behind the end, {told}"
            return


async def play(where: Beside, asked: Sequence[Asked], cuts: Sequence[int]) -> None:
    whole, places, place = b"".join(each.raw for each in asked), [0], 0
    for cut in cuts:
        place = min(place + cut, len(whole))
        places.append(place)
    pieces = [whole[a:b] for a, b in zip(places, [*places[1:], len(whole)], strict=True) if a < b]
    ours, theirs = await asyncio.gather(talk(where.gateway, pieces), talk(where.nginx, pieces))
    listed = next((number for number, each in enumerate(asked) if each.kind in LISTED), None)
    expected = answers(theirs, asked) if listed is None else read(theirs, asked[:listed])[0]
    compare(asked, answers(ours, asked), expected)


@pytest.mark.timeout(300 + SECONDS)
@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
def test_answers_are_those_of_nginx(loop: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path) -> None:
    """Splits, pipelines, upgrades and broken requests in any order."""
    counted: Counter[str] = Counter()
    deadline = time.monotonic() + SECONDS / len(LOOPS)

    with asyncio.Runner(loop_factory=loop) as runner:
        opened = beside(tmp_path)
        where = runner.run(opened.__aenter__())

        @given(st.lists(REQUESTS, min_size=1, max_size=6), CUTS)
        @settings(
            max_examples=500 if SECONDS else 150,
            deadline=None,
            derandomize=not SECONDS,
            database=None,
            phases=[Phase.generate, *([Phase.shrink] if SECONDS else [])],
            suppress_health_check=list(HealthCheck),
        )
        def round_of(asked: list[Asked], cuts: list[int]) -> None:
            runner.run(play(where, [*asked, LAST], cuts))
            counted.update(each.kind for each in asked)
            counted["connections"] += 1

        try:
            round_of()
            while time.monotonic() < deadline:
                round_of()
        finally:
            runner.run(opened.__aexit__(None, None, None))
            if SECONDS:
                sys.stderr.write(f"{dict(counted)}\n")
    assert counted["connections"] >= 100


@pytest.mark.skipif(shutil.which("nginx") is None, reason="needs nginx")
def test_every_kind_of_broken_request_is_told_from_nginx_as_listed(tmp_path: Path) -> None:

    async def each() -> None:
        async with beside(tmp_path) as where:
            for broken in BROKEN:
                await play(where, [broken, LAST], [])
                await play(where, [Asked("plain", head("GET /a HTTP/1.1", HOST)), broken, LAST], [3])

    asyncio.run(each())
