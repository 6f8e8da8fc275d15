"""Replicas whose clocks are twenty minutes off, and a clock that is set while people look at pictures."""

from __future__ import annotations

import asyncio

import pytest

from proxy.standin.standin import StandIn
from proxy.upstream.clock import Clock
from tests.harness.gateways import GatewayClient, GatewayLauncher, gateway_of, in_share, statuses
from tests.harness.redis_server import RedisServer

OFF_S = 1200.0


@pytest.fixture
async def gateways(launcher: GatewayLauncher, redis_server: RedisServer) -> list[GatewayClient]:
    """Run three replicas: one is right, one is ahead, one is behind."""
    redis: dict[str, object] = {"url": redis_server.url, "timeout_s": 5.0}
    return [await launcher.open(skew_s=off_s, redis=redis) for off_s in (0.0, OFF_S, -OFF_S)]


async def test_replicas_that_disagree_about_the_time_agree_about_grants(
    cloudreve: StandIn, gateways: list[GatewayClient]
) -> None:
    """Under load each picture is resolved and fetched once for all, and all say for how long it counts."""
    token, (_, uris) = cloudreve.token(), cloudreve.library.gallery(20)
    asked = [gateway.ask(uri, who) for _ in range(3) for uri in uris for gateway in gateways for who in (token, None)]
    replies = await asyncio.gather(*asked)
    assert set(statuses(replies)) == {200}
    assert cloudreve.calls.count("resolve", code=0) == 2 * len(uris)
    assert cloudreve.calls.count("fetch") == len(uris)
    for half in (replies[::2], replies[1::2]):  # with a token, and without
        assert max(reply.max_age_s for reply in half) - min(reply.max_age_s for reply in half) <= 60


@pytest.mark.parametrize("life_s", [100.0, 2000.0])
async def test_no_replica_honours_a_grant_that_has_run_out(
    cloudreve: StandIn, launcher: GatewayLauncher, gateways: list[GatewayClient], life_s: float
) -> None:
    """However late it believes that it is; before the end all do, without a call."""
    cloudreve.url_life_s = life_s
    uri = in_share(cloudreve)
    for gateway in gateways:
        assert (await gateway.ask(uri)).status == 200
    await cloudreve.stop()
    launcher.hours.pass_by(life_s - 15)
    assert statuses([await gateway.ask(uri) for gateway in gateways]) == [200, 200, 200]
    launcher.hours.pass_by(6)
    assert statuses([await gateway.ask(uri) for gateway in gateways]) == [503, 503, 503]


class Wall:
    """A clock on the wall and a timer, which agree until somebody sets the clock."""

    def __init__(self, start: float) -> None:
        self.now = start
        self.counted = 0.0

    def pass_by(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds
        self.counted += seconds

    @property
    def clock(self) -> Clock:
        """Make a clock of it."""
        return Clock(lambda: self.now, lambda: self.counted)


@pytest.mark.parametrize("set_s", [-OFF_S, OFF_S])
async def test_a_clock_that_is_set_keeps_nothing_alive(cloudreve: StandIn, set_s: float) -> None:
    """Not even on the way that is the shortest, for who asks again and again with the same bytes."""
    cloudreve.url_life_s = 100
    wall = Wall(cloudreve.now())
    async with gateway_of(cloudreve.own_url, wall.clock) as gateway:
        uri = in_share(cloudreve)
        for _ in range(4):
            assert (await gateway.ask(uri)).status == 200
        await cloudreve.stop()
        wall.now += set_s
        for _ in range(4):
            assert (await gateway.ask(uri)).status == (200 if set_s < 0 else 503)
        wall.pass_by(91)
        assert (await gateway.ask(uri)).status == 503


async def test_a_clock_that_is_set_is_right_again_when_cloudreve_has_answered(cloudreve: StandIn) -> None:
    wall = Wall(cloudreve.now())
    async with gateway_of(cloudreve.own_url, wall.clock) as gateway:
        uris = iter(cloudreve.library.gallery(8)[1])
        for set_s in (0.0, -OFF_S, OFF_S, 2 * OFF_S):
            wall.now += set_s
            await gateway.ask(next(uris))
            reply = await gateway.ask(next(uris))
            assert reply.status == 200
            assert 3500 < reply.max_age_s <= 3600


def test_time_does_not_run_back() -> None:
    """It goes on by the timer, and by the clock again once Cloudreve has been heard of."""
    wall = Wall(1795434687.0)
    clock = wall.clock
    before = clock.now()
    wall.now -= OFF_S
    wall.pass_by(10)
    assert clock.now() == before + 10
    clock.observe("Mon, 23 Nov 2026 11:51:27 GMT")
    assert clock.now() == pytest.approx(1795434687.5)
    wall.pass_by(10)
    assert clock.now() == pytest.approx(1795434697.5)
