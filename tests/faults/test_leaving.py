"""Leaving takes `server.shutdown_s` and no longer, whatever is under way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from deploy.benchmarks.exhibits import Exhibit
from proxy.coalesce.deadline import Countdown
from proxy.standin.faults import Hang
from proxy.standin.standin import StandIn
from tests.harness.gateways import GatewayClient, gateway_of, in_share, until
from tests.harness.raw_client import calling, request

SHUTDOWN_S = 2.0
MORE_THAN_SOCKETS_HOLD_BYTES = 9_000_000
ENOUGH_S = 3.8
"""Less than twice as long: who waited for one thing after the other would need more."""


@asynccontextmanager
async def left_in_time(cloudreve: StandIn) -> AsyncIterator[GatewayClient]:
    """Run a gateway, and close it in time at the end of the block."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(gateway_of(cloudreve.own_url, server={"shutdown_s": SHUTDOWN_S}))
        yield gateway
        started = loop.time()
        await stack.aclose()
        assert loop.time() - started < ENOUGH_S


async def test_a_resolve_and_its_visitor_share_the_time(cloudreve: StandIn) -> None:
    """Cloudreve is given no more of it when the visitor has used it up."""
    cloudreve.fail("resolve", Hang(), times=1)
    async with left_in_time(cloudreve) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.running.port)
        writer.write(request(in_share(cloudreve)))
        await cloudreve.calls.arrived("resolve")
    assert await reader.read() == b""
    writer.close()


async def test_a_visitor_who_does_not_read_is_not_waited_for_twice(cloudreve: StandIn) -> None:
    library = cloudreve.library
    library.put(library.alice, "/album/large.png", thumbnail=Exhibit("large", 1, MORE_THAN_SOCKETS_HOLD_BYTES).body)
    raw = request(in_share(cloudreve, "large.png"))
    with socket.socket() as reluctant:
        reluctant.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reluctant.setblocking(False)
        async with left_in_time(cloudreve) as gateway:
            async with calling(gateway) as other:
                assert (await other.ask(raw)).status == 200
            loop = asyncio.get_running_loop()
            await loop.sock_connect(reluctant, ("127.0.0.1", gateway.running.port))
            await loop.sock_sendall(reluctant, raw)
            await until(lambda: gateway.count("requests_total", outcome="hit"))


async def test_a_countdown_runs_from_when_it_is_begun() -> None:
    countdown = Countdown(60.0)
    assert countdown.remaining_s == 60.0
    countdown.begin()
    assert 59 < countdown.remaining_s <= 60.0
    over = Countdown(0.0)
    over.begin()
    assert over.remaining_s == 0.0
