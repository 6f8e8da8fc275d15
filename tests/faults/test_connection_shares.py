"""More connections of one client than its share: it makes room, and nobody else is shut out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from unittest.mock import Mock

import pytest
from aiohttp import web

from proxy.http.connection import Connection
from proxy.http.connection_limits import ConnectionLimits
from proxy.observe.metrics import Metrics
from proxy.settings import ServerSettings
from proxy.standin.standin import StandIn
from tests.harness.gateways import GatewayClient, GatewayLauncher, in_share, until
from tests.harness.raw_client import Caller, calling, request

MOST = 60
FLOOD, MODEST = "127.0.0.2", "127.0.0.3"


@pytest.fixture
async def gateway(launcher: GatewayLauncher) -> GatewayClient:
    """Run a gateway that lets sixty in, and stands behind no proxy."""
    return await launcher.open(server={"max_connections": MOST, "trusted_proxies": []})


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Close at the end what a test has opened."""
    async with AsyncExitStack() as opened:
        yield opened


async def callers(gateway: GatewayClient, stack: AsyncExitStack, address: str, count: int) -> list[Caller]:
    return [await stack.enter_async_context(calling(gateway, address)) for _ in range(count)]


@pytest.mark.parametrize("is_busy", [True, False], ids=["with requests under way", "that say nothing"])
async def test_sixty_connections_of_one_address_shut_nobody_out(
    cloudreve: StandIn, gateway: GatewayClient, stack: AsyncExitStack, *, is_busy: bool
) -> None:
    """Another visitor is let in and answered, again and again, however often the flood comes back."""
    async with calling(gateway, MODEST) as first:
        assert (await first.ask(request(in_share(cloudreve)))).status == 200
        await until(lambda: gateway.count("connections") == 1)
        flood = await callers(gateway, stack, FLOOD, MOST - 1)
        cloudreve.generator.gate = asyncio.Event()
        for caller in flood if is_busy else ():
            caller.writer.write(request(in_share(cloudreve, "two.png")))
        await until(lambda: gateway.count("connections") == MOST)
        for _ in range(3):
            (modest,) = await callers(gateway, stack, MODEST, 1)
            assert (await modest.ask(request(in_share(cloudreve)))).status == 200
            await callers(gateway, stack, FLOOD, MOST)
        assert (await first.ask(request(in_share(cloudreve)))).status == 200, "it was idle, but not the flood's"
    cloudreve.generator.gate.set()


class Peer(Connection):
    """A connection from an address, idle or busy for good."""

    __slots__ = ("_at", "is_idle", "transport_of_peer")

    def __init__(self, at: str, *, is_idle: bool) -> None:
        async def never(_: web.BaseRequest) -> web.StreamResponse:
            raise AssertionError

        super().__init__(web.Server(never), loop=asyncio.get_running_loop())
        self._at = at
        self.is_idle = is_idle
        self.transport_of_peer = self._wire = Mock()

    @property
    def peername(self) -> tuple[str, int]:
        """Give the address."""
        return self._at, 50_000

    @property
    def idle_since(self) -> float:
        """Tell since when it has been idle."""
        return -math.inf if self.is_idle else math.inf

    @property
    def is_cut_off(self) -> bool:
        """Tell whether the gateway has closed it."""
        return bool(self.transport_of_peer.abort.called)


def full(limit: int, addresses: Iterable[str], *, is_idle: bool = False) -> tuple[ConnectionLimits, list[Peer]]:
    crowd, peers = (
        ConnectionLimits(limit, ServerSettings(), Metrics()),
        [Peer(each, is_idle=is_idle) for each in addresses],
    )
    for peer in peers:
        crowd.enter(peer)
    return crowd, peers


def let_in(crowd: ConnectionLimits, address: str) -> bool:
    """Come as well; tell whether that is allowed."""
    peer = Peer(address, is_idle=False)
    crowd.enter(peer)
    return not peer.is_cut_off


async def test_the_largest_client_loses_its_idle_connections_before_its_oldest() -> None:
    """An eighth of all at once, since choosing takes time."""
    crowd, peers = full(16, ["192.0.2.1"] * 16)
    peers[7].is_idle = True
    assert let_in(crowd, "192.0.2.2")
    assert [number for number, peer in enumerate(peers) if peer.is_cut_off] == [0, 7]


async def test_an_ipv6_network_is_one_client() -> None:
    crowd, peers = full(16, [f"2001:db8::{number}" for number in range(16)])
    assert let_in(crowd, "2001:db8:0:1::1")
    assert [number for number, peer in enumerate(peers) if peer.is_cut_off] == [0, 1]
    assert [let_in(crowd, f"2001:db8::{number}") for number in range(100, 103)] == [True, False, False]


async def test_a_client_above_its_share_closes_only_its_own() -> None:
    """Idle connections of others stay open for it, and what it was refused it stays refused until the next check."""
    crowd, peers = full(16, ["192.0.2.1"] * 15 + ["192.0.2.2"])
    peers[15].is_idle = True
    assert not let_in(crowd, "192.0.2.1")
    peers[3].is_idle = True
    assert not let_in(crowd, "192.0.2.1")
    crowd.look()
    assert let_in(crowd, "192.0.2.1")
    assert [number for number, peer in enumerate(peers) if peer.is_cut_off] == [3]


async def test_a_refused_flood_refuses_nobody_else() -> None:
    """There was no room for one with so many connections, but there is for one with none."""
    crowd, _ = full(16, ["192.0.2.1"] * 16)
    assert not let_in(crowd, "192.0.2.1")
    assert let_in(crowd, "192.0.2.2")


async def test_where_nobody_has_more_than_another_only_the_idle_make_room() -> None:
    """Requests under way are not given up for a newcomer who would have as many."""
    crowd, peers = full(8, [f"192.0.2.{number}" for number in range(8)])
    assert not let_in(crowd, "192.0.2.9")
    crowd.look()
    peers[5].is_idle = True
    assert let_in(crowd, "192.0.2.9")
    assert [number for number, peer in enumerate(peers) if peer.is_cut_off] == [5]


async def test_connections_of_a_trusted_proxy_are_not_those_of_one_client() -> None:
    """They bring many visitors: a client that comes directly has its share beside them, not before them."""
    crowd, peers = full(16, ["127.0.0.1"] * 12 + ["192.0.2.1"] * 4)
    assert let_in(crowd, "127.0.0.1")
    assert [number for number, peer in enumerate(peers) if peer.is_cut_off] == [12, 13]
    crowd, peers = full(16, ["127.0.0.1"] * 16)
    assert not let_in(crowd, "192.0.2.1")
    assert not any(peer.is_cut_off for peer in peers)
