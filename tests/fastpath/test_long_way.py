"""The fast path against the long way: however a request is spelled, both give the same answer, byte for byte.

`LONG_WAY_EXAMPLES` sets how many random lists of requests are tried.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from proxy.fastpath.entry import FinishedAnswer, HeadAndBody
from proxy.fastpath.index import FastPath
from proxy.standin.standin import StandIn
from tests.harness.browser import COOKIE, Browser
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, in_share
from tests.harness.raw_client import calling, request

LISTED, OPENED, OTHER = "https://listed.example", "https://opened.example", "https://other.example"
SECTIONS: dict[str, Any] = {
    "embed": {"private_origins": [LISTED], "public_origins": [OPENED]},
    "seal": {"keys": ["k" * 32]},
    "server": {"trusted_proxies": ["127.0.0.2/32"]},
    "pictures": {"formats": ["webp"]},
}
EXAMPLES = int(os.environ.get("LONG_WAY_EXAMPLES", "100"))
BEHIND = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""Tells whether the connection is in step."""
OPEN_S = 3.0
"""A connection that has not ended by then stays open."""
VARYING = (
    (re.compile(rb"(max-age|ttl)=-?\d+"), rb"\1=?"),
    (re.compile(rb"\r\nDate: [^\r]*"), b""),
    (re.compile(rb'/thumb/s/[^"?]*|"expires":"[^"]*"'), b"?"),  # each gateway has a grant of its own
    (re.compile(rb'"correlation_id":"[^"]*"'), b""),
    (re.compile(rb'\r\nX-Request-Id: [^\r]*|"request_id":"[^"]*"|Request [0-9a-f]{16}'), b""),
)
HEAD = re.compile(rb"(?s)HTTP/1\.1 \d{3} .*?\r\n\r\n")
"""The order of fields says nothing."""
JSON_LENGTH = re.compile(rb"Content-Length: \d+(\r\n(?:[^\r]+\r\n)*?Content-Type: application/json)")
"""A time is written with fewer digits where the last are zeros."""

Field = tuple[str, str]
Spelled = tuple[Field, ...]


class Pair:
    """Two gateways that differ in one setting, and the requests that both are asked."""

    def __init__(self, cloudreve: StandIn, gateways: Sequence[GatewayClient]) -> None:
        self.gateways = gateways
        self._tokens = {name: cloudreve.token(name, life_s=90_000) for name in ("alice", "bob")}
        self.uris = [in_share(cloudreve), ONE, f"cloudreve://{cloudreve.library.alice.id}@my/album/one.png"]
        self.cookie = self.etag = self.sealed = ""

    async def open(self) -> None:
        """Sign in, and learn a sealed URL and a validator."""
        browser = Browser(self.gateways[0])
        await browser.sign_in(self._tokens["alice"])
        self.cookie = browser.cookies[COOKIE]
        self.etag = (await self.gateways[0].ask(self.uris[0])).etag
        path = f"/api/v4/file/thumb?uri={self.uris[0].replace('/', '%2F')}"
        reply = await self.gateways[0].send("GET", path)
        self.sealed = reply.body.split(b'"url":"')[1].split(b'"')[0].decode()

    def text(self, template: str) -> str:
        """Fill in what is known at run time only."""
        known = {"COOKIE": self.cookie, "ETAG": self.etag, "ALICE": self._tokens["alice"], "BOB": self._tokens["bob"]}
        return re.sub("|".join(known), lambda found: known[found[0]], template)

    def target(self, number: int) -> str:
        """Give one of some targets."""
        plain = [request(uri).split(b" ")[1].decode() for uri in self.uris]
        sealed = self.sealed[self.sealed.index("/thumb/s/") :]
        api = plain[0].replace("/thumb?", "/api/v4/file/thumb?")
        return [
            *plain,
            sealed,
            api,
            api.replace("share", "x"),
            f"{plain[0]}&w=64",
            f"{plain[0]}#x",
            f"http://x{plain[0]}",
            f"{plain[0]}&uri=x",
        ][number]

    async def compare(self, raw: bytes, cut: int, address: str) -> None:
        """Ask both gateways, each often enough that the fast path knows the answer if it ever does."""
        seen = [
            [await self._ask(gateway, raw, cut if last else 0, address) for last in (0, 0, 1)]
            for gateway in self.gateways
        ]
        assert seen[0][-1] == seen[1][-1], raw

    async def _ask(self, gateway: GatewayClient, raw: bytes, cut: int, address: str) -> bytes:
        try:
            async with calling(gateway, address) as caller:
                await caller.pieces(piece for piece in (raw[:cut], raw[cut:]) if piece)
                await caller.pieces([BEHIND])
                async with asyncio.timeout(OPEN_S):
                    answered = await caller.rest()
        except ConnectionError:
            return b"reset"
        except TimeoutError:
            return b"open"
        for pattern, instead in VARYING:
            answered = pattern.sub(instead, answered)
        answered = HEAD.sub(lambda head: b"\r\n".join(sorted(head[0].split(b"\r\n"))), answered)
        return JSON_LENGTH.sub(rb"\1", answered)


def spelled(name: str) -> st.SearchStrategy[str]:
    """Spell a name in some case."""
    return st.sampled_from([name, name.lower(), name.upper(), name.swapcase()])


def field(name: str, *values: str) -> st.SearchStrategy[Field]:
    """Write one field."""
    return st.tuples(spelled(name), st.sampled_from(values))


USUAL = st.one_of(
    field("Authorization", "Bearer ALICE", "bearer  ALICE", "Bearer BOB", "Bearer ALICEx", "Basic eDp5"),
    field(
        "Cookie",
        *(f"{COOKIE}=COOKIE", f"a=1; {COOKIE}=COOKIE; b=2", f"__Host-{COOKIE}=COOKIE", f"x{COOKIE}=COOKIE", "a=1"),
        *(f"{COOKIE}=x; {COOKIE}=COOKIE", f"{COOKIE} = COOKIE ", f"{COOKIE}=x"),
    ),
    field("Accept", "image/webp,*/*", "image/webp;q=0", "*/*", "text/html", ""),
    field("Origin", LISTED, OPENED, OTHER, "null", "http://thumbs.example.com", ""),
    field("Sec-Fetch-Site", "same-origin", "same-site", "cross-site", "none", "x", ""),
    field(
        "Referer",
        *(f"{LISTED}/a?b", f"{OPENED}/?", f"{OTHER}/a", "http://thumbs.example.com:8/x", "http://thumbs.example.com"),
        *("chrome-extension://abc/x", "http://[", "about:blank", "", "http://a@thumbs.example.com/", "HTTP://x.y?/z"),
    ),
    field("X-Forwarded-For", "192.0.2.1", "192.0.2.1, 127.0.0.2", "127.0.0.2, 192.0.2.7", "x"),
    field("X-Forwarded-Proto", "https", "http", "https, http", "HTTPS", "ws", ""),
    field("X-Forwarded-Host", "thumbs.example.com", "o.example:443", "a.example, thumbs.example.com", "no host", ""),
    field("Forwarded", "for=192.0.2.1;proto=https", "host=o.example;proto=https", "proto", "proto=https, proto=http"),
    field("If-None-Match", "ETAG", "W/ETAG", '"x", ETAG', "*", ""),
    field("User-Agent", "one", "two"),
    field("Connection", "keep-alive", "Keep-Alive"),
)
ODD = st.one_of(
    field("Authorization", "Bearer", "Bearerx y", "", "Bearer a b"),
    field("X-Cr-Purchase-Ticket", "a", "b c", ""),
    field("Range", "bytes=0-3", "x"),
    field("If-Range", "ETAG"),
    field("Connection", "close", "upgrade", "keep-alive, close", ""),
    field("Proxy-Connection", "keep-alive", "close"),
    field("Content-Length", "0", "4", "x"),
    field("Transfer-Encoding", "chunked", "identity"),
    field("Upgrade", "websocket", "h2c"),
    field("Expect", "100-continue", "x"),
    field("X-Field", "a\r\n b", "a\r\n\tb", "a\rb", "a\nb", "\x00", "\xff", "x" * 9000, "x" * 20_000, ""),
    field("X-Bad Name", "x"),
    field("Host", "other.example", "x"),
    field("", "x"),
)
FIELDS = st.one_of(USUAL, USUAL, USUAL, USUAL, ODD)
HOSTS = st.sampled_from(
    [
        "thumbs.example.com",
        "THUMBS.example.com:8080",
        "127.0.0.1:9",
        "other.example",
        "a b",
        "",
        "[::1]",
        "thumbs.example.com",
    ]
)
BODIES = {("content-length", "4"): b"body", ("transfer-encoding", "chunked"): b"4\r\nbody\r\n0\r\n\r\n"}
METHODS = st.sampled_from(["GET"] * 40 + ["HEAD"] * 8 + ["POST", "OPTIONS", "get", "BREW", "GE T", " GET"])
VERSIONS = st.sampled_from(["HTTP/1.1"] * 40 + ["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", ""])
ENDS = st.sampled_from(["\r\n"] * 30 + ["\n", "\r"])
REQUEST = st.tuples(
    METHODS,
    st.integers(0, 9),
    VERSIONS,
    HOSTS,
    st.lists(FIELDS, max_size=5).map(tuple),
    ENDS,
    st.integers(0, 300) | st.just(0),
    st.sampled_from(["127.0.0.1", "127.0.0.2"]),
    st.integers(0, 5),
)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"], scope="module")
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Run everything in one loop."""
    with asyncio.Runner(loop_factory=request.param) as opened:
        yield opened


@pytest.fixture(scope="module")
def pair(runner: asyncio.Runner) -> Iterator[Pair]:
    """Run both gateways."""
    stack = AsyncExitStack()

    async def begin() -> Pair:
        cloudreve = await stack.enter_async_context(StandIn(size=(80, 60)))
        launcher = await stack.enter_async_context(GatewayLauncher(cloudreve))
        switched = [SECTIONS | {"server": SECTIONS["server"] | {"fast_path": on}} for on in (True, False)]
        gateways = [await launcher.open(**sections) for sections in switched]
        pair = Pair(cloudreve, gateways)
        await pair.open()
        return pair

    yield runner.run(begin())
    runner.run(stack.aclose())


@given(st.lists(REQUEST, min_size=1, max_size=4))
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_spelling_of_a_request_has_the_long_way_s_answer(
    runner: asyncio.Runner, pair: Pair, asked: list[tuple[object, ...]]
) -> None:
    """Fields in any case and order, twice, folded, too long; methods and versions that nobody knows; cut anywhere."""

    async def play() -> None:
        for method, target, version, host, fields, end, cut, address, place in asked:
            lines = [f"{name}: {pair.text(value)}" for name, value in fields]  # type: ignore[attr-defined]
            if host:
                lines.insert(place, f"Host: {host}")  # type: ignore[arg-type]
            head = [f"{method} {pair.target(target)} {version}", *lines, "", ""]  # type: ignore[arg-type]
            raw = str(end).join(head).encode("latin-1")
            framed = {(name.lower(), value) for name, value in fields}  # type: ignore[attr-defined]
            body = b"".join(body for framing, body in BODIES.items() if framing in framed)
            await pair.compare(raw + body, cut, address)  # type: ignore[arg-type]

    runner.run(play())


def test_the_fast_path_has_answers_too(runner: asyncio.Runner, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would say nothing."""
    answer, hits = FastPath.answer, []

    def watched(self: FastPath, known: FinishedAnswer) -> HeadAndBody | None:
        wire = answer(self, known)
        hits.append(wire is not None)
        return wire

    monkeypatch.setattr(FastPath, "answer", watched)
    raw = request(pair.uris[0], "Accept: image/webp,*/*", f"Referer: {LISTED}/a", f"Cookie: {COOKIE}={pair.cookie}")
    runner.run(pair.compare(raw, 0, "127.0.0.1"))
    assert any(hits)


def test_one_setting_switches_the_fast_path_off(runner: asyncio.Runner, pair: Pair) -> None:
    """Nothing is remembered there."""
    raw = request(pair.uris[0])
    runner.run(pair.compare(raw, 0, "127.0.0.1"))
    assert [gateway.running.hits.size_bytes > 0 for gateway in pair.gateways] == [True, False]
