"""Whose a share is: Cloudreve is asked beside everything else, and nobody waits for it for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.grants import share_owners
from proxy.standin.faults import Hang
from proxy.standin.standin import StandIn
from proxy.wiring.changes import OWNER_CALLS
from tests.harness.gateways import GatewayClient, in_share

PATIENCE_S = 60.0
"""Long for a busy machine."""


@pytest.fixture
async def silence(cloudreve: StandIn, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hang]:
    """Let Cloudreve tell no owner, until the end, and visitors wait for it as long."""
    monkeypatch.setattr(share_owners, "ASK_S", 3600.0)
    hang = Hang()
    cloudreve.fail("share", hang)
    yield hang
    hang.until.set()


async def test_a_thumbnail_is_asked_for_beside_the_owner(
    cloudreve: StandIn, gateway: GatewayClient, silence: Hang
) -> None:
    """A share's first visitor waits for the slower of the two alone."""
    asking = asyncio.create_task(gateway.ask(in_share(cloudreve)))
    async with asyncio.timeout(PATIENCE_S):
        await cloudreve.calls.ended("resolve")
    assert cloudreve.calls.under_way("share") == 1
    silence.until.set()
    assert (await asking).status == 200
    assert (await gateway.ask(in_share(cloudreve, "two.png"))).status == 200
    assert cloudreve.calls.count("share") == 1


async def test_more_shares_than_may_be_asked_about_are_shown_all_the_same(
    cloudreve: StandIn, gateway: GatewayClient, silence: Hang
) -> None:
    shares = [cloudreve.library.publish(cloudreve.library.alice, "/album") for _ in range(OWNER_CALLS + 1)]
    *first, last = (f"cloudreve://{share.id}@share/one.png" for share in shares)
    asking = [
        asyncio.create_task(gateway.ask(uri, X_Forwarded_For=f"192.0.2.{number}")) for number, uri in enumerate(first)
    ]
    async with asyncio.timeout(PATIENCE_S):
        await cloudreve.calls.arrived("share", OWNER_CALLS)
        assert (await gateway.ask(last)).status == 200
    silence.until.set()
    assert {(await task).status for task in asking} == {200}
