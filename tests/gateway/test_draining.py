"""Leaving: nothing new is taken, what is under way is finished, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from proxy.standin.faults import Drip, Hang
from proxy.standin.standin import StandIn
from tests.harness.gateways import CUT_OFF, GatewayClient, gateway_of, in_share, kept
from tests.harness.redis_server import RedisServer


@asynccontextmanager
async def leaving(gateway: GatewayClient, stack: AsyncExitStack) -> AsyncIterator[asyncio.Task[None]]:
    """Close a gateway behind one's back; the block begins when it takes no more connections."""
    task = asyncio.create_task(stack.aclose())
    async with aiohttp.ClientSession() as operator:
        ready = 200
        while ready == 200:  # the operators' port is the last to close
            async with operator.get(f"{gateway.admin}/readyz") as response:
                ready = response.status
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", gateway.running.port))
    yield task
    await task
    gc.collect()  # a task that was forgotten complains now


@asynccontextmanager
async def opened(
    cloudreve: StandIn, **sections: dict[str, object]
) -> AsyncIterator[tuple[GatewayClient, AsyncExitStack]]:
    """Run a gateway that the test itself closes, and visitors who stay."""
    stack = AsyncExitStack()
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        gateway = await stack.enter_async_context(gateway_of(cloudreve.own_url, None, **sections))
        yield GatewayClient(gateway.running, session), stack


async def test_a_request_under_way_is_answered_and_no_other_is_taken(cloudreve: StandIn) -> None:
    """Meanwhile the operators' port says that no traffic may come, and that the process is alive."""
    cloudreve.generator.gate = gate = asyncio.Event()
    async with opened(cloudreve) as (gateway, stack):
        assert (await gateway.send("GET", "/readyz")).body == b"ready\n"
        under_way = asyncio.create_task(gateway.ask(in_share(cloudreve)))
        await cloudreve.calls.arrived("resolve")
        async with leaving(gateway, stack) as left:
            ready = await gateway.send("GET", f"{gateway.admin}/readyz")
            assert (ready.status, ready.body) == (503, b"draining\n")
            assert (await gateway.send("GET", f"{gateway.admin}/healthz")).status == 200
            assert not left.done()
            gate.set()
            assert (await under_way).status == 200


async def test_a_picture_under_way_is_sent_to_its_end(cloudreve: StandIn) -> None:
    """The visitor has its first half when the gateway is told to leave, and still gets the other."""
    drip = Drip()
    cloudreve.fail("fetch", drip, times=1)
    drip.release()
    async with opened(cloudreve) as (gateway, stack), gateway.opened(in_share(cloudreve)) as response:
        half = await response.content.readexactly(500)
        async with leaving(gateway, stack):
            drip.release()
            body = half + await response.read()
    assert len(body) == int(response.headers["Content-Length"])


async def test_a_request_that_takes_too_long_is_cut_off(cloudreve: StandIn) -> None:
    """A visitor whose picture does not come is told so by a broken connection; Cloudreve is left, last of all."""
    cloudreve.fail("resolve", Hang(), times=1)
    async with opened(cloudreve, server={"shutdown_s": 0.1}) as (gateway, stack):
        under_way = asyncio.create_task(gateway.ask(in_share(cloudreve)))
        await cloudreve.calls.arrived("resolve")
        async with leaving(gateway, stack):
            with pytest.raises(CUT_OFF):
                await under_way
    await cloudreve.calls.ended("resolve")
    assert cloudreve.calls.of("resolve")[0].left


async def test_a_resolve_whose_visitors_have_gone_is_let_end(cloudreve: StandIn, redis_server: RedisServer) -> None:
    """Cloudreve would mark the file for good if the call were cut off; the grant is kept for the other replicas."""
    cloudreve.generator.gate = gate = asyncio.Event()
    async with opened(cloudreve, redis={"url": redis_server.url}) as (gateway, stack):
        visitor = asyncio.create_task(gateway.ask(in_share(cloudreve)))
        await cloudreve.calls.arrived("resolve")
        visitor.cancel()
        await asyncio.gather(visitor, return_exceptions=True)
        async with leaving(gateway, stack) as left:
            assert not left.done()
            gate.set()
    assert [(call.code, call.left) for call in cloudreve.calls.of("resolve")] == [(0, False)]
    assert kept(redis_server, "g:") != []


async def test_visitors_who_keep_their_connections_do_not_hold_it_up(cloudreve: StandIn) -> None:
    async with opened(cloudreve, server={"shutdown_s": 60.0}) as (gateway, stack):
        for _ in range(3):
            assert (await gateway.ask(in_share(cloudreve))).status == 200
        async with leaving(gateway, stack):
            pass


async def test_a_gateway_may_be_closed_at_any_moment(cloudreve: StandIn, redis_server: RedisServer) -> None:
    """With whoami, resolves, fetches and streams under way, and Redis in use: no task is lost, nothing stays open."""
    for verb in ("whoami", "resolve", "fetch"):
        cloudreve.fail(verb, Hang(), times=1)
    async with opened(cloudreve, server={"shutdown_s": 0.05}, redis={"url": redis_server.url}) as (gateway, stack):
        tasks = [asyncio.create_task(gateway.ask(in_share(cloudreve), who)) for who in (cloudreve.token(), None)]
        await cloudreve.calls.arrived("whoami")
        await cloudreve.calls.arrived("resolve")
        tasks.append(asyncio.create_task(gateway.ask(in_share(cloudreve, "two.png"))))
        await cloudreve.calls.arrived("fetch")
        async with leaving(gateway, stack):
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, CUT_OFF) for end in ends), ends
