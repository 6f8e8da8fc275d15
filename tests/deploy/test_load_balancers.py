"""Three gateways behind each load balancer that a file is shipped for: real programs, the files as they are."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import pytest

from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.deploy.balancers import FILES, KINDS, Balancer
from tests.deploy.patience import until
from tests.deploy.visitor import Visitor
from tests.harness.gateways import ONE, GatewayClient, gateway_of, in_share
from tests.harness.sites import thumb
from tests.harness.stream_server import abort, stream_server

SEAL: dict[str, object] = {"keys": ["k" * 32]}
UPLOAD_BYTES = 3_000_000


class Replicas:
    """Three gateways for the whole site."""

    def __init__(self) -> None:
        self.gateways: list[GatewayClient] = []
        self._stacks: list[AsyncExitStack] = []

    async def open(self, url: str) -> None:
        """Start one more."""
        stack = AsyncExitStack()
        gateway = gateway_of(url, seal=SEAL, server={"passthrough": True, "port": 0})
        self.gateways.append(await stack.enter_async_context(gateway))
        self._stacks.append(stack)

    async def stop(self, drain_s: float = 0.0) -> None:
        """Stop the first of those that still run."""
        await self.gateways.pop(0).running.drain(drain_s)
        await self._stacks.pop(0).aclose()

    async def aclose(self) -> None:
        """Stop all."""
        while self._stacks:
            await self.stop()


@pytest.fixture
async def site() -> AsyncIterator[StandIn]:
    """Run a stand-in Cloudreve with small pictures."""
    async with StandIn(size=(40, 30)) as standin:
        yield standin


@pytest.fixture
async def replicas(site: StandIn) -> AsyncIterator[Replicas]:
    """Run three gateways that share a seal and nothing else."""
    found = Replicas()
    try:
        for _ in range(3):
            await found.open(site.own_url)
        yield found
    finally:
        await found.aclose()


needs = pytest.mark.needs
BALANCERS = (
    pytest.param("haproxy", marks=needs("haproxy")),
    pytest.param("caddy", marks=needs("caddy")),
    pytest.param("apache", marks=needs("apache2")),
    pytest.param("varnish", marks=needs("varnishd")),
    pytest.param("envoy", marks=needs("envoy")),
    pytest.param("squid", marks=needs("squid")),
    pytest.param("traefik", marks=needs("traefik")),
)


@pytest.fixture(params=BALANCERS)
async def balancer(request: pytest.FixtureRequest, replicas: Replicas) -> AsyncIterator[Balancer]:
    """Run each load balancer in front of them."""
    async with balanced(request.param, [gateway.running.port for gateway in replicas.gateways]) as made:
        yield made


@asynccontextmanager
async def balanced(kind: str, gateways: Sequence[int]) -> AsyncIterator[Balancer]:
    """Run one load balancer in front of gateways, given by their ports."""
    with TemporaryDirectory() as folder:  # not below pytest's, where only the owner may read
        made = Balancer(KINDS[kind], Path(folder), gateways)
        await asyncio.to_thread(made.start)
        try:
            yield made
        finally:
            await asyncio.to_thread(made.stop)


@pytest.fixture
async def visitor(balancer: Balancer) -> AsyncIterator[Visitor]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as session:
        yield Visitor(session, balancer.base)


async def test_each_visitor_gets_through_to_the_own_pictures(
    site: StandIn, visitor: Visitor, balancer: Balancer
) -> None:
    """By token, by cookie and as nobody, again and again; no log has a File URI."""
    alice = {"Authorization": f"Bearer {site.token()}"}
    began = await visitor.send("POST", "/session", alice)
    by_cookie = {"Cookie": began.headers["Set-Cookie"].partition(";")[0]}
    for _ in range(2):
        shown = [await visitor.get(thumb(ONE), who) for who in (alice, by_cookie)]
        assert [got.status for got in shown] == [200, 200]
        assert {got.headers["Cache-Control"].partition(",")[0] for got in shown} == {"private"}
        assert [(await visitor.get(thumb(ONE), who)).status for who in ({}, {"Cookie": "thumb_session=x"})] == [401] * 2
        assert (await visitor.get(thumb(in_share(site)))).headers["Cache-Control"].startswith("public")
    assert "cloudreve%3A" not in balancer.logs
    assert "cloudreve:" not in balancer.logs


async def test_a_visitors_own_word_on_the_host_is_not_believed(site: StandIn, visitor: Visitor) -> None:
    """A URL that is given out begins with the address that the load balancer was asked at."""
    lies = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "203.0.113.9",
        "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
    }
    given = await visitor.get(f"/api/v4/file{thumb(ONE)}", lies | {"Authorization": f"Bearer {site.token()}"})
    assert json.loads(given.body)["data"]["url"].startswith(f"{visitor.base}/thumb/s/")


async def test_a_browser_gets_its_format_and_others_the_original(site: StandIn, visitor: Visitor) -> None:
    target = thumb(in_share(site))
    for _ in range(2):
        kinds = [(await visitor.get(target, {"Accept": accept})).headers["Content-Type"] for accept in _ACCEPTED]
        assert kinds == ["image/webp", "image/png", "image/png"]


_ACCEPTED = ("image/avif,image/webp,*/*;q=0.8", "*/*", "image/png")


async def test_uploads_pass_whole(site: StandIn, visitor: Visitor) -> None:
    body = paint(99) + bytes(UPLOAD_BYTES)

    async def in_pieces() -> AsyncIterator[bytes]:
        yield body[: UPLOAD_BYTES // 2]
        yield body[UPLOAD_BYTES // 2 :]

    alice = {"Authorization": f"Bearer {site.token()}"}
    got = await visitor.send("PUT", "/api/v4/file/content?uri=cloudreve%3A%2F%2Fmy%2Fnew.png", alice, in_pieces())
    assert (got.status, json.loads(got.body)["data"]["size"]) == (200, len(body))


async def test_a_gateway_that_leaves_costs_no_request(
    site: StandIn, replicas: Replicas, visitor: Visitor, balancer: Balancer
) -> None:
    """Visitors ask all the time while one of three stops, as in a rolling restart."""
    uris = site.library.gallery(24)[1]
    answers: list[int] = []
    has_ended = asyncio.Event()

    async def ask_on(number: int) -> None:
        while not has_ended.is_set():
            answers.append((await visitor.get(thumb(uris[number]))).status)

    async with asyncio.TaskGroup() as visitors:
        for number in range(len(uris)):
            visitors.create_task(ask_on(number))
        await until(_more_than(answers, 100))
        await replicas.stop(balancer.kind.drain_s)
        await until(_more_than(answers, len(answers) + 300))
        has_ended.set()
    assert set(answers) == {200}


@pytest.mark.needs("envoy")
async def test_envoy_asks_another_gateway_whichever_file_is_asked_for() -> None:
    """Where two of three leave, five places in a row on its ring are theirs for one file in eight."""
    statuses: Counter[int] = Counter()
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(stream_server(talk)) for talk in (_ok, _breaks, _breaks)]
        base = (await stack.enter_async_context(balanced("envoy", ports))).base
        session = await stack.enter_async_context(aiohttp.ClientSession())
        for number in range(200):
            statuses[(await Visitor(session, base).get(f"/thumb?uri={number}")).status] += 1
    assert statuses == {200: 200}


async def _ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def _breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Seem well, and break off each request."""
    while (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /readyz "):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    abort(writer.transport)


def _more_than(answers: list[int], count: int) -> Callable[[], Awaitable[bool]]:
    async def has_more() -> bool:
        return len(answers) > count

    return has_more


def test_every_file_that_is_shipped_is_run() -> None:
    assert {kind.file for kind in KINDS.values()} == {path.name for path in FILES.iterdir()}
