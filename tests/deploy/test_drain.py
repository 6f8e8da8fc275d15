"""Leaving in good order: what a load balancer sees of a gateway that is about to go."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
from aiohttp import ClientSession
from pydantic import ValidationError

from proxy.standin.standin import StandIn
from tests.deploy.patience import until
from tests.deploy.process import GatewayProcess
from tests.harness.fixtures import cloudreve, gateway, launcher
from tests.harness.gateways import GatewayClient, in_share, settings_for
from tests.harness.sites import thumb

__all__ = ["cloudreve", "gateway", "launcher"]


async def test_a_gateway_that_drains_says_so_and_still_answers(gateway: GatewayClient, cloudreve: StandIn) -> None:
    """`/readyz` says no on both ports, `/healthz` goes on saying yes, and visitors get their pictures."""
    await gateway.running.drain(0)
    for base in (gateway.base, gateway.admin):
        assert (await gateway.send("GET", f"{base}/readyz")).status == 503
        assert (await gateway.send("GET", f"{base}/healthz")).status == 200
    assert (await gateway.ask(in_share(cloudreve))).status == 200


async def test_connections_end_with_their_answers_while_draining(gateway: GatewayClient, cloudreve: StandIn) -> None:
    """Whoever keeps connections opens the next one elsewhere; answers that were at hand are no exception."""
    target = thumb(in_share(cloudreve))
    for _ in range(3):
        reply = await gateway.send("GET", target)
        assert (reply.status, reply.headers.get("Connection")) == (200, None)
    await gateway.running.drain(0)
    for _ in range(3):
        reply = await gateway.send("GET", target)
        assert (reply.status, reply.headers.get("Connection")) == (200, "close")
    assert (await gateway.send("GET", "/nowhere")).headers["Connection"] == "close"


async def test_requests_are_taken_until_the_time_is_over(cloudreve: StandIn, tmp_path: Path) -> None:
    """After SIGTERM for `drain_s`; then the port closes, and the gateway is gone."""
    gateway = GatewayProcess(tmp_path, cloudreve.own_url, SERVER__DRAIN_S="1.5")
    try:
        await gateway.start()
        gateway.send(signal.SIGTERM)

        async def is_draining() -> bool:
            return (await gateway.ask("/readyz"))[0] == 503

        await until(is_draining)
        async with ClientSession() as session, session.get(gateway.base + thumb(in_share(cloudreve))) as response:
            assert (response.status, response.headers["Connection"]) == (200, "close")
        assert await asyncio.to_thread(gateway.wait) == 0
    finally:
        gateway.kill()


async def test_ctrl_c_waits_for_nothing(cloudreve: StandIn, tmp_path: Path) -> None:
    """At a terminal there is no load balancer to wait for."""
    gateway = GatewayProcess(tmp_path, cloudreve.own_url, SERVER__DRAIN_S="3600")
    try:
        await gateway.start()
        gateway.send(signal.SIGINT)
        assert await asyncio.to_thread(gateway.wait) == 0
    finally:
        gateway.kill()


@pytest.mark.parametrize(
    "setting", [{"workers": 0}, {"workers": 257}, {"workers": True}, {"workers": 1.5}, {"drain_s": -1}], ids=str
)
def test_how_a_gateway_runs_is_checked(setting: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        settings_for("http://127.0.0.1", server=setting)
