"""nginx as it asks upstreams by default: HTTP/1.0, here with a cache. What is incomplete must not be kept there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientPayloadError, ClientSession, web

from proxy.standin.faults import Exchange, Fault
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.deploy.nginx import Nginx
from tests.deploy.visitor import Got, Visitor
from tests.harness.gateways import gateway_of, in_share
from tests.harness.sites import thumb
from tests.harness.stream_server import stream_server

pytestmark = pytest.mark.needs("nginx")

WHOLE = paint(1)
_SITE = """
proxy_cache_path {folder}/cache keys_zone=pictures:1m;
server {{
    listen 127.0.0.1:{port};
    proxy_http_version 1.0;
    proxy_cache pictures;
    proxy_cache_valid 200 10m;
    proxy_ignore_headers Cache-Control Vary;
    add_header X-Cache $upstream_cache_status;
    location / {{ proxy_pass http://127.0.0.1:{gateway}; }}
}}
"""


class Stored(Fault):
    """A body in two pieces, its length announced or not, that ends well or breaks off."""

    def __init__(self, body: bytes, *, announced: bool, breaks: bool = False) -> None:
        self._body = body
        self._announced = announced
        self._breaks = breaks

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Send it."""
        length = len(self._body) if self._announced else None
        half = len(self._body) // 2
        response = await exchange.begin(self._body[:half], announced=length)
        await asyncio.sleep(0)
        if self._breaks:
            exchange.reset()
            return response
        await response.write(self._body[half:])
        await response.write_eof()
        return response


@pytest.fixture
def cache_in_front(tmp_path: Path) -> Iterator[Callable[[int], Nginx]]:
    """Give a function that starts nginx with a cache in front of a gateway, given by its port."""
    started: list[Nginx] = []

    def start(gateway: int) -> Nginx:
        nginx = Nginx(tmp_path, [gateway], gateway)
        nginx.upstreams = ""
        nginx.site = _SITE.format(folder=tmp_path, port=nginx.port, gateway=gateway)
        started.append(nginx)
        return nginx.start()

    yield start
    for nginx in started:
        nginx.stop()


@pytest.fixture
async def standin() -> AsyncIterator[StandIn]:
    async with StandIn() as site:
        yield site


@asynccontextmanager
async def visitor_of(nginx: Nginx) -> AsyncIterator[Visitor]:
    async with ClientSession(auto_decompress=False) as session:
        yield Visitor(session, nginx.base)


async def asked(visitor: Visitor, target: str) -> Got | None:
    """Ask; None where the answer broke off."""
    try:
        return await visitor.get(target)
    except ClientPayloadError:
        return None


FAULTS = {
    "announced, stored half": lambda: Stored(WHOLE[: len(WHOLE) // 2], announced=True),
    "announced, the last byte missing": lambda: Stored(WHOLE[:-1], announced=True),
    "announced, breaks off": lambda: Stored(WHOLE, announced=True, breaks=True),
    "chunked, stored half": lambda: Stored(WHOLE[: len(WHOLE) // 2], announced=False),
    "chunked, breaks off": lambda: Stored(WHOLE, announced=False, breaks=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_an_incomplete_picture_is_not_kept(
    standin: StandIn, cache_in_front: Callable[[int], Nginx], fault: Callable[[], Fault]
) -> None:
    """The next visitor gets it whole and the one after that from nginx' cache."""
    standin.fail("fetch", fault(), times=1)
    target = thumb(in_share(standin))
    async with gateway_of(standin.own_url) as gateway, visitor_of(cache_in_front(gateway.running.port)) as visitor:
        broken = await asked(visitor, target)
        assert broken is None or broken.status in (502, 503)
        replies = [await visitor.get(target) for _ in range(2)]
    assert [(reply.status, reply.headers["X-Cache"]) for reply in replies] == [(200, "MISS"), (200, "HIT")]
    assert replies[0].body == replies[1].body


async def test_an_incomplete_passed_answer_is_not_kept(cache_in_front: Callable[[int], Nginx]) -> None:
    """Without a length its end is the connection's; a reset is none. It breaks off once nginx has passed some of it."""
    breaks, until, half = [True, False], asyncio.Event(), b"x" * 1_000_000

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_page = b"/page" in await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        writer.write(head + b"%x\r\n%b\r\n" % (len(half), half))
        if is_page:
            await until.wait()
        if not is_page or not breaks.pop(0):
            writer.write(b"5\r\nwhole\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with (
        stream_server(answer) as port,
        gateway_of(f"http://127.0.0.1:{port}", server={"passthrough": True}) as gateway,
        visitor_of(cache_in_front(gateway.running.port)) as visitor,
    ):
        async with visitor.session.get(f"{visitor.base}/page") as broken:
            await broken.content.readexactly(1)
            until.set()
            with pytest.raises(ClientPayloadError):
                await broken.read()
        replies = [await visitor.get("/page") for _ in range(2)]
    told = [(reply.status, reply.headers["X-Cache"], reply.body == half + b"whole") for reply in replies]
    assert told == [(200, "MISS", True), (200, "HIT", True)]
