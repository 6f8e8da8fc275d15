"""The fast path against the long way: however a request is spelled, both give the same answer, byte for byte.

`LONG_WAY_EXAMPLES` sets how many random lists of requests are tried.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from proxy.fastpath.entry import HeadAndBody
from proxy.fastpath.index import FastPath
from proxy.fastpath.redis_hits import RedisHits
from proxy.standin.standin import StandIn
from tests.harness.browser import COOKIE, Browser
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, in_share
from tests.harness.raw_client import Answer, calling, request
from tests.harness.redis_server import RedisServer

LISTED, OPENED, OTHER = "https://listed.example", "https://opened.example", "https://other.example"
SECTIONS: dict[str, Any] = {
    "embed": {"private_origins": [LISTED], "public_origins": [OPENED]},
    "seal": {"keys": ["k" * 32]},
    "server": {"trusted_proxies": ["127.0.0.2/32"]},
    "pictures": {"formats": ["webp"]},
}
EXAMPLES = int(os.environ.get("LONG_WAY_EXAMPLES", "50"))
NO_PICTURES = {"max_bytes": 6_000}
"""Room for grants in memory; a picture takes more than a quarter."""
SEALED = "/thumb/s/SEALED"
BEHIND = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""Tells whether the connection is in step."""
OPEN_S = 3.0
"""A connection that has not ended by then stays open."""
VARYING = (
    (re.compile(rb"(max-age|ttl)=-?\d+"), rb"\1=?"),
    (re.compile(rb"; detail=\w+"), b""),
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


class Ways:
    """Gateways with a fast path, their pictures in memory or in Redis, and without; and the requests they are asked."""

    def __init__(self, cloudreve: StandIn, gateways: Sequence[GatewayClient]) -> None:
        self.gateways = gateways
        self._tokens = {name: cloudreve.token(name, life_s=90_000) for name in ("alice", "bob")}
        self.uris = [in_share(cloudreve), ONE, f"cloudreve://{cloudreve.library.alice.id}@my/album/one.png"]
        self.cookie = self.etag = ""
        self._sealed: list[str] = []
        """What each gateway gives for `SEALED`; it rests on what that one has heard of."""

    async def open(self) -> None:
        """Sign in, and learn a sealed URL and a validator."""
        browser = Browser(self.gateways[0])
        await browser.sign_in(self._tokens["alice"])
        self.cookie = browser.cookies[COOKIE]
        self.etag = (await self.gateways[0].ask(self.uris[0])).etag
        path = f"/api/v4/file/thumb?uri={self.uris[0].replace('/', '%2F')}"
        urls = [json.loads((await gateway.send("GET", path)).body)["data"]["url"] for gateway in self.gateways]
        self._sealed = [url[url.index(SEALED[: -len("SEALED")]) :] for url in urls]

    def text(self, template: str) -> str:
        """Fill in what is known at run time only."""
        known = {"COOKIE": self.cookie, "ETAG": self.etag, "ALICE": self._tokens["alice"], "BOB": self._tokens["bob"]}
        return re.sub("|".join(known), lambda found: known[found[0]], template)

    def target(self, number: int) -> str:
        """Give one of some targets."""
        plain = [request(uri).split(b" ")[1].decode() for uri in self.uris]
        api = plain[0].replace("/thumb?", "/api/v4/file/thumb?")
        return [
            *plain,
            SEALED,
            api,
            api.replace("share", "x"),
            f"{plain[0]}&w=64",
            f"{plain[0]}#x",
            f"http://x{plain[0]}",
            f"{plain[0]}&uri=x",
        ][number]

    async def compare(
        self, raw: bytes, cut: int, address: str, *, is_hasty: bool = False, is_odd: bool = False
    ) -> None:
        """Ask the gateways, each often enough that the fast path knows the answer if it ever does.

        What is odd may end the connection, and a request that comes behind destroys the answer where that is late: it
        is no request for the gateway that waits for Redis.
        """
        gateways = self.gateways[::2] if is_odd else self.gateways
        for last in (0, 0, 0, 1):
            at = cut if last else 0
            seen = [await self._ask(gateway, raw, at, address, is_odd or is_hasty) for gateway in gateways]
        assert seen == [seen[0]] * len(seen), raw

    async def _ask(self, gateway: GatewayClient, raw: bytes, cut: int, address: str, is_hasty: bool) -> bytes:
        """Send a request and another behind it, at once or behind the answer; give all that comes."""
        raw = raw.replace(SEALED.encode(), self._sealed[self.gateways.index(gateway)].encode())
        try:
            async with calling(gateway, address) as caller:
                await caller.pieces(piece for piece in (raw[:cut], raw[cut:]) if piece)
                async with asyncio.timeout(OPEN_S):
                    first = Answer(b"", b"") if is_hasty else await caller.read(is_head=raw.startswith(b"HEAD"))
                    if b"\r\nConnection: close\r\n" not in first.head:
                        await caller.pieces([BEHIND])
                    answered = first.head + first.body + await caller.rest()
        except ConnectionError:
            return b"reset"
        except TimeoutError:
            return b"open"
        for pattern, instead in VARYING:
            answered = pattern.sub(instead, answered)
        answered = HEAD.sub(lambda head: b"\r\n".join(sorted(head[0].split(b"\r\n"))), answered)
        return JSON_LENGTH.sub(rb"\1", answered)


def spelled(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from([name, name.lower(), name.upper(), name.swapcase()])


def field(name: str, *values: str) -> st.SearchStrategy[Field]:
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
ODD_HOSTS = ("a b", "")
HOSTS = st.sampled_from(
    [
        "thumbs.example.com",
        "THUMBS.example.com:8080",
        "127.0.0.1:9",
        "other.example",
        *ODD_HOSTS,
        "[::1]",
        "thumbs.example.com",
    ]
)
PLAIN = {(method, "HTTP/1.1", "\r\n") for method in ("GET", "HEAD")}
PLAIN_FIELDS = {
    *("authorization", "cookie", "accept", "origin", "sec-fetch-site", "referer", "user-agent", "if-none-match"),
    *("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"),
}
"""With these alone there is one answer, which can be waited for."""
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
    st.booleans(),
)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"], scope="module")
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as opened:
        yield opened


@pytest.fixture(scope="module")
def ways(runner: asyncio.Runner, shared_redis: RedisServer) -> Iterator[Ways]:
    stack = AsyncExitStack()
    in_redis = {"memory": NO_PICTURES, "redis": {"url": shared_redis.url, "timeout_s": 10.0}}

    async def begin() -> Ways:
        cloudreve = await stack.enter_async_context(StandIn(size=(240, 180)))
        launcher = await stack.enter_async_context(GatewayLauncher(cloudreve))
        off = {"server": SECTIONS["server"] | {"fast_path": False}}
        gateways = [await launcher.open(**SECTIONS | more) for more in ({}, in_redis, off)]
        ways = Ways(cloudreve, gateways)
        await ways.open()
        return ways

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
    runner: asyncio.Runner, ways: Ways, asked: list[tuple[object, ...]]
) -> None:
    """Fields in any case and order, twice, folded, too long; methods and versions that nobody knows; cut anywhere."""

    async def play() -> None:
        for method, target, version, host, fields, end, cut, address, place, is_hasty in asked:
            lines = [f"{name}: {ways.text(value)}" for name, value in fields]  # type: ignore[attr-defined]
            if host:
                lines.insert(place, f"Host: {host}")  # type: ignore[arg-type]
            head = [f"{method} {ways.target(target)} {version}", *lines, "", ""]  # type: ignore[arg-type]
            raw = str(end).join(head).encode("latin-1")
            framed = {(name.lower(), value) for name, value in fields}  # type: ignore[attr-defined]
            body = b"".join(body for framing, body in BODIES.items() if framing in framed)
            is_odd = (method, version, end) not in PLAIN or not {name for name, _ in framed} <= PLAIN_FIELDS
            manner = {"is_hasty": bool(is_hasty), "is_odd": is_odd or host in ODD_HOSTS}
            await ways.compare(raw + body, cut, address, **manner)  # type: ignore[arg-type]

    runner.run(play())


def test_the_fast_path_has_answers_too(runner: asyncio.Runner, ways: Ways, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would say nothing."""
    answers, hits = {FastPath: FastPath.answer, RedisHits: RedisHits.answer}, set[type]()

    def watched(self: FastPath | RedisHits, *asked: Any) -> HeadAndBody | None:  # noqa: ANN401 - as either is called
        wire: HeadAndBody | None = answers[type(self)](self, *asked)  # type: ignore[operator]
        hits.update([type(self)] if wire is not None else [])
        return wire

    monkeypatch.setattr(FastPath, "answer", watched)
    monkeypatch.setattr(RedisHits, "answer", watched)
    raw = request(ways.uris[0], "Accept: image/webp,*/*", f"Referer: {LISTED}/a", f"Cookie: {COOKIE}={ways.cookie}")
    runner.run(ways.compare(raw, 0, "127.0.0.1"))
    assert hits == {FastPath, RedisHits}


def test_one_setting_switches_the_fast_path_off(runner: asyncio.Runner, ways: Ways) -> None:
    raw = request(ways.uris[0])
    runner.run(ways.compare(raw, 0, "127.0.0.1"))
    assert [gateway.running.hits.size_bytes > 0 for gateway in ways.gateways] == [True, True, False]
