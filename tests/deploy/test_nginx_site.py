"""nginx hands on thumbnails to the gateways and everything else to Cloudreve, and logs both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.deploy.backend import PUBLIC, Backend
from tests.deploy.nginx import Nginx
from tests.deploy.visitor import THUMB, URI, Visitor

pytestmark = pytest.mark.needs("nginx")

PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
SEALED = "/thumb/s/c2VhbGVkLXdpdGgtYS1zZWNyZXQ"
SHARE_PAGE = "/s/AbCd/pw123"
LIES = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "Forwarded": "for=203.0.113.7;host=evil.example",
    "X-Real-IP": "203.0.113.7",
}


@pytest.mark.parametrize(
    ("method", "target", "accept"),
    [
        ("GET", THUMB, None),
        ("GET", THUMB, PAGE["Accept"]),
        ("HEAD", THUMB, None),
        ("POST", THUMB, None),
        ("GET", SEALED, "image/*"),
        ("GET", "/thumb/info?uri=x&uri=y", None),
        ("GET", "/api/v4/file/thumb?uri=x", None),
        ("POST", "/session", None),
        ("POST", "/session", PAGE["Accept"]),
        ("DELETE", "/session", None),
        ("OPTIONS", "/session", None),
        ("GET", "/session", "*/*"),
        ("GET", "/session/login?next=/", PAGE["Accept"]),
        ("GET", "/session/callback?code=1", PAGE["Accept"]),
    ],
)
async def test_the_gateways_own_paths_go_to_them(
    nginx: Nginx, cloudreve: Backend, gateways: list[Backend], visitor: Visitor, method: str, target: str, accept: str
) -> None:
    answer = await visitor.send(method, target, {"Accept": accept} if accept else {})
    assert answer.headers["X-Backend"].startswith("gateway")
    [asked] = [gateway for gateway in gateways if gateway.requests]
    assert asked.last.target == target
    assert cloudreve.requests == []


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("GET", "/session"),  # the page to sign in
        ("GET", "/session?redirect=%2Fhome"),
        ("GET", "/session/signup"),
        ("GET", "/session/authorize?client_id=x"),
        ("GET", "/session/login/x"),
        ("GET", "/thumbs"),
        ("GET", "/thumb/x"),
        ("GET", "/api/v4/file/thumb/x"),
        ("GET", "/api/v4/file?uri=x"),
        ("POST", "/api/v4/session/token"),
        ("PROPFIND", "/dav/"),
        ("MOVE", "/dav/a"),
        ("PUT", "/dav/%C3%A4%20b"),
    ],
)
async def test_everything_else_goes_to_cloudreve(
    nginx: Nginx, cloudreve: Backend, visitor: Visitor, method: str, target: str
) -> None:
    """Its own page to sign in included, which lives beside the gateways' `/session`."""
    answer = await visitor.send(method, target, PAGE)
    assert answer.headers["X-Backend"] == "cloudreve"
    assert (cloudreve.last.method, cloudreve.last.target) == (method, target)


@pytest.mark.parametrize("target", [THUMB, "/session", "/api/v4/user/me"])
async def test_nobody_believes_what_a_visitor_says_of_proxies(
    nginx: Nginx, cloudreve: Backend, gateways: list[Backend], visitor: Visitor, target: str
) -> None:
    """Nginx says what it has seen itself, and once."""
    await visitor.get(target, LIES)
    [seen] = [request for backend in (*gateways, cloudreve) for request in backend.requests]
    assert {name: seen.headers.getall(name, []) for name in LIES} == {
        "X-Forwarded-For": ["127.0.0.1"],
        "X-Forwarded-Proto": ["http"],
        "X-Forwarded-Host": [f"127.0.0.1:{nginx.port}"],
        "Forwarded": [],
        "X-Real-IP": ["127.0.0.1"],
    }


async def test_gateways_get_neither_bodies_nor_upgrades(gateways: list[Backend], visitor: Visitor) -> None:
    """A connection to a gateway serves many visitors: nothing on it is more than a head, or looks like another one."""
    hidden = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"
    for target in (THUMB, "/session", "/api/v4/file/thumb"):
        await visitor.send("POST", target, {"Connection": "Upgrade", "Upgrade": "websocket"}, hidden)
        await visitor.send("GET", target, body=_chunked(hidden))
        await visitor.send("GET", target)
    requests = [request for gateway in gateways for request in gateway.requests]
    assert len(requests) == 9
    for request in requests:
        assert request.target != "/hidden"
        assert request.body == b""
        assert not {"Content-Length", "Transfer-Encoding", "Upgrade"} & request.headers.keys()


async def test_an_upload_streams(cloudreve: Backend, visitor: Visitor) -> None:
    """Its first bytes reach Cloudreve before its last have left the visitor, and nothing is too large."""
    arrived = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        size = 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
            arrived.set()
        return web.Response(text=str(size))

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        await arrived.wait()
        yield b"x" * 5_000_000

    cloudreve.answering = take
    async with visitor.session.put(f"{visitor.base}/api/v4/file/content", data=body()) as response:
        assert await response.text() == "5001000"


async def test_events_stream(cloudreve: Backend, visitor: Visitor) -> None:
    seen = asyncio.Event()

    async def tell(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"event: subscribed\n\n")
        await seen.wait()
        await response.write(b"event: event\n\n")
        return response

    cloudreve.answering = tell
    async with visitor.session.get(f"{visitor.base}/api/v4/file/events") as response:
        assert await response.content.readuntil(b"\n\n") == b"event: subscribed\n\n"
        seen.set()
        assert await response.content.read() == b"event: event\n\n"


async def test_websockets_open(cloudreve: Backend, visitor: Visitor) -> None:

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    cloudreve.answering = echo
    async with visitor.session.ws_connect(f"{visitor.base}/ws") as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "hello"


async def test_no_other_upgrade_gets_through(cloudreve: Backend, visitor: Visitor) -> None:
    """HTTP/2 in clear would hide requests from nginx."""
    await visitor.get("/", {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"})
    assert "Upgrade" not in cloudreve.last.headers
    assert "Upgrade" not in cloudreve.last.headers.get("Connection", "")


async def test_the_log_tells_no_file_uri(nginx: Nginx, gateways: list[Backend], visitor: Visitor) -> None:
    """Nor a sealed URL, a code, a token or where somebody came from; not even when all goes wrong."""
    for gateway in gateways:
        gateway.headers = PUBLIC
    targets = (
        THUMB,
        f"/api{THUMB}",
        SEALED,
        "/session/callback?code=secret-code",
        f"/api/v4/file{THUMB}",
        THUMB,
        SHARE_PAGE,
    )
    headers = {"Authorization": "Bearer secret-token", "Referer": f"https://site.example/?uri={URI}"}
    for target in targets:
        await visitor.get(target, headers)
    for gateway in gateways:
        await gateway.stop()
    for target in targets:
        await visitor.get(target, headers)
    told = nginx.access_log + nginx.error_log
    assert told.count(" 503 ") == 5
    assert "GET /s/AbCd/... HTTP/1.1" in told
    assert not [
        secret for secret in ("pw123", "c2VhbGVk", "secret-code", "secret-token", "site.example") if secret in told
    ]


async def test_heads_may_be_as_large_as_gateways_take_them(visitor: Visitor) -> None:
    """A larger body ends at nginx."""
    assert (await visitor.get("/thumb?uri=" + "x" * 16_000)).status == 200
    assert (await visitor.get("/thumb?uri=" + "x" * 17_000)).status == 414
    with_large = {"X-Large": "x" * 17_000}
    assert (await visitor.get(THUMB, with_large)).status == 400


def test_the_files_are_valid(nginx: Nginx) -> None:
    """`nginx -t` has nothing to say, not even a warning."""
    assert nginx.check() == ""


async def _chunked(body: bytes) -> AsyncIterator[bytes]:
    """Give a body whose length is not known beforehand."""
    yield body
