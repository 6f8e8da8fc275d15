"""One storage hangs: pictures of others come as ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import unquote

import pytest
from aiohttp import web

from proxy.coalesce import slots
from proxy.standin.faults import Exchange, Hang
from proxy.standin.standin import StandIn
from tests.harness.gateways import GatewayClient, GatewayLauncher, statuses, until

QUICK_S = 15.0
"""Long for a busy machine, and shorter than the deadline of 20 s."""


class HangsBelow(Hang):
    """Nothing for calls whose target has this in it, until the end; others are answered at once."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self._part = part

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Wait, or not."""
        is_hanging = self._part in unquote(exchange.request.raw_path)
        return await super().play(exchange) if is_hanging else exchange.proper


@pytest.fixture(autouse=True)
def soon_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "SLOW_S", 0.05)


@pytest.fixture
async def tasks() -> AsyncIterator[list[asyncio.Task[object]]]:
    """Give a list of what is under way, to be ended with the test."""
    under_way: list[asyncio.Task[object]] = []
    yield under_way
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)


async def test_thumbnails_that_hang_leave_slots_to_others(
    cloudreve: StandIn, gateway: GatewayClient, tasks: list[asyncio.Task[object]]
) -> None:
    """Twenty fresh pictures of one folder hang, as with a storage that does not answer; another folder's come."""
    hung, uris = cloudreve.library.gallery(20)
    _, others = cloudreve.library.gallery(30)
    hang = HangsBelow(hung.id)
    cloudreve.fail("resolve", hang)
    tasks += [
        asyncio.create_task(gateway.ask(uri, X_Forwarded_For=f"192.0.2.{number}")) for number, uri in enumerate(uris)
    ]
    await cloudreve.calls.arrived("resolve", 8)
    async with asyncio.timeout(QUICK_S):
        replies = [await gateway.ask(uri, X_Forwarded_For="198.51.100.1") for uri in others]
    assert statuses(replies) == [200] * 30
    assert cloudreve.calls.under_way("resolve") == 8, "of one folder no more than max_resolves are asked for"
    hang.until.set()


async def test_downloads_that_hang_leave_slots_to_others(
    cloudreve: StandIn, launcher: GatewayLauncher, tasks: list[asyncio.Task[object]]
) -> None:
    """Forty pictures of one host hang; those that Cloudreve keeps itself come."""
    gateway = await launcher.open(cloudreve={"image_hosts": ["127.0.0.1"]})
    _, uris = cloudreve.library.gallery(40)
    _, others = cloudreve.library.gallery(30)
    hang = HangsBelow("/bucket/")
    cloudreve.fail("fetch", hang)
    cloudreve.foreign = True
    tasks += [
        asyncio.create_task(gateway.ask(uri, X_Forwarded_For=f"192.0.2.{number}")) for number, uri in enumerate(uris)
    ]
    await cloudreve.calls.arrived("fetch", 32)
    await until(lambda: cloudreve.calls.count("resolve", code=0) == 40)
    cloudreve.foreign = False
    async with asyncio.timeout(QUICK_S):
        replies = [await gateway.ask(uri, X_Forwarded_For="198.51.100.1") for uri in others]
    assert statuses(replies) == [200] * 30
    assert cloudreve.calls.under_way("fetch") == 32, "of one host no more than max_fetches are fetched"
    hang.until.set()
