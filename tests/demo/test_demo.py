"""The demo around any gateway: what it starts, what it serves beside the gateway's own routes, how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web

from proxy.demo import demo
from proxy.settings import Settings


@dataclass
class FakeGateway:
    """Serves the demo's routes and nothing of its own."""

    settings: Settings
    port: int
    admin_port: int = 9


class Starter:
    """Stands in for the composition root, and remembers what it was told."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[FakeGateway] = asyncio.Queue()
        self.ended = False

    @asynccontextmanager
    async def __call__(self, settings: Settings, routes: Sequence[web.RouteDef]) -> AsyncIterator[FakeGateway]:
        """Listen for as long as the block lasts."""
        app = web.Application()
        app.add_routes(routes)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, settings.server.host, settings.server.port).start()
        gateway = FakeGateway(settings, runner.addresses[0][1])
        await self.started.put(gateway)
        yield gateway
        await runner.cleanup()
        self.ended = True


async def test_a_gateway_is_told_where_cloudreve_and_redis_are() -> None:
    start = Starter()
    async with demo.opened(demo.Addresses(), start, pictures=3) as running:
        gateway = await start.started.get()

        assert gateway.settings.cloudreve.url == running.cloudreve.own_url
        assert gateway.settings.redis.url is not None
        assert gateway.settings.redis.url.get_secret_value() == running.redis
        assert running.address == f"http://127.0.0.1:{gateway.port}/"
    assert start.ended


async def test_the_page_shows_a_gallery_and_hangs_another_on_request() -> None:
    """Pictures anybody may see, none of them generated, a token for the second visitor, and counts from nothing."""
    async with (
        demo.opened(demo.Addresses(), Starter(), pictures=3, generation_s=0) as running,
        aiohttp.ClientSession(running.address) as session,
    ):
        first = await (await session.get("/demo/state")).json()
        for uri in first["pictures"]:
            await session.get(f"{running.cloudreve.own_url}/api/v4/file/thumb", params={"uri": uri})
        seen = await (await session.get("/demo/state")).json()
        second = await (await session.post("/demo/gallery")).json()
        whoami = f"{running.cloudreve.own_url}/api/v4/session/oauth/userinfo"
        visitor = await (await session.get(whoami, headers={"Authorization": f"Bearer {first['visitor']}"})).json()

    assert len(first["pictures"]) == 3
    assert [first["resolves"], seen["resolves"], second["resolves"]] == [0, 3, 0]
    assert not set(first["pictures"]) & set(second["pictures"])
    assert visitor["name"] == "bob"
    assert running.cloudreve.calls.count("resolve", code=0) == 0


async def test_the_page_needs_nothing_from_elsewhere() -> None:
    """No script, style, font or picture of another host, and a policy that says so."""
    async with (
        demo.opened(demo.Addresses(), Starter(), pictures=1) as running,
        aiohttp.ClientSession(running.address) as session,
    ):
        response = await session.get("/")
        page = await response.text()

    assert response.content_type == "text/html"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert not re.findall(r"(?:src|href|import|url\()\s*=?\s*[\"'(]?(?:https?:)?//", page)


async def test_the_page_may_compare_with_cloudreve_alone() -> None:
    """Its policy and Cloudreve both let its script ask there."""
    async with (
        demo.opened(demo.Addresses(), Starter(), pictures=1, generation_s=0) as running,
        aiohttp.ClientSession(running.address) as session,
    ):
        state = await (await session.get("/demo/state")).json()
        policy = (await session.get("/")).headers["Content-Security-Policy"]
        origin = running.address.rstrip("/")
        asked = session.get(
            f"{state['cloudreve']}/api/v4/file/thumb", params={"uri": state["pictures"][0]}, headers={"Origin": origin}
        )
        async with asked as response:
            url = (await response.json())["data"]["url"]
            allowed = [response.headers["Access-Control-Allow-Origin"]]
        async with session.get(url, headers={"Origin": origin}) as response:
            allowed.append(response.headers["Access-Control-Allow-Origin"])

    assert f"connect-src 'self' {state['cloudreve']};" in policy
    assert allowed == [origin, origin]


async def test_the_demo_runs_until_it_is_told_to_stop(capsys: pytest.CaptureFixture[str]) -> None:
    """The address is printed, and SIGTERM ends everything in good order."""
    start = Starter()
    task = asyncio.create_task(demo.run_demo(demo.Addresses(), start))
    gateway = await start.started.get()
    os.kill(os.getpid(), signal.SIGTERM)
    await task

    printed = capsys.readouterr().out
    assert f"http://127.0.0.1:{gateway.port}/" in printed
    assert "stand-in Cloudreve" in printed
    assert start.ended
