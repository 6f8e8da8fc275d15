"""Entries of a right shape that no gateway writes at that time: they neither count, nor last, nor bridge an outage."""

from __future__ import annotations

from dataclasses import replace

import pytest

from proxy.domain import codec
from proxy.domain.entry import Entry
from proxy.domain.grant import Grant
from proxy.domain.picture import Picture
from proxy.domain.refusal import Refusal, RefusalKind
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.harness.gateways import GatewayClient, GatewayLauncher, in_share, kept, until
from tests.harness.redis_server import RedisServer

AGES_AGO_S = 3600.0


async def left(redis: RedisServer, prefix: str) -> tuple[str, Entry]:
    """Wait for the only key with this prefix; give it and its entry."""
    await until(lambda: kept(redis, prefix))
    [key] = kept(redis, prefix)
    held = redis.command("GET", key)
    assert isinstance(held, bytes)
    entry = codec.decode(held)
    assert entry is not None
    return key, entry


def plant(redis: RedisServer, key: str, entry: Entry) -> None:
    redis.command("SET", key, codec.encode(entry))


@pytest.fixture
async def gateway(launcher: GatewayLauncher, redis_server: RedisServer) -> GatewayClient:
    """Run a gateway that bridges outages and accepts small pictures, and let it fill Redis."""
    return await opened(launcher, redis_server)


async def opened(launcher: GatewayLauncher, redis_server: RedisServer) -> GatewayClient:
    redis: dict[str, object] = {"url": redis_server.url, "timeout_s": 5.0}
    return await launcher.open(
        redis=redis, grants={"stale_if_error_s": 600.0, "renew_s": 0.0}, pictures={"max_bytes": 100_000}
    )


async def test_an_endless_grant_bridges_no_outage(
    cloudreve: StandIn, launcher: GatewayLauncher, gateway: GatewayClient, redis_server: RedisServer
) -> None:
    await gateway.ask(in_share(cloudreve))
    key, grant = await left(redis_server, "g:")
    assert isinstance(grant, Grant)
    plant(redis_server, key, replace(grant, fresh_until=1e18))
    other = await opened(launcher, redis_server)
    await cloudreve.stop()
    assert [(await other.ask(in_share(cloudreve))).status for _ in range(2)] == [503, 503]


@pytest.mark.parametrize("off_s", [-AGES_AGO_S, AGES_AGO_S])
async def test_a_refusal_that_stays_in_redis_ends_all_the_same(
    cloudreve: StandIn, launcher: GatewayLauncher, gateway: GatewayClient, redis_server: RedisServer, off_s: float
) -> None:
    """It counts by the time at which it was asked for, whatever time to live it has; one from the future never does."""
    await gateway.ask(in_share(cloudreve))
    key, _ = await left(redis_server, "g:")
    asked_at = launcher.hours.now() + off_s
    plant(redis_server, key, Refusal(RefusalKind.NOT_FOUND, 40016, asked_at=asked_at))
    other = await opened(launcher, redis_server)
    assert [(await other.ask(in_share(cloudreve))).status for _ in range(2)] == [200, 200]


async def test_a_picture_that_is_too_large_for_upstream_is_too_large_in_redis(
    cloudreve: StandIn, launcher: GatewayLauncher, gateway: GatewayClient, redis_server: RedisServer
) -> None:
    """Nothing grows by way of Redis; the true picture takes its place."""
    shown = await gateway.ask(in_share(cloudreve))
    key, picture = await left(redis_server, "p:")
    assert isinstance(picture, Picture)
    plant(redis_server, key, replace(picture, body=paint(1) + bytes(100_000)))
    other = await opened(launcher, redis_server)
    assert (await other.ask(in_share(cloudreve))).body == shown.body
    await until(lambda: len(codec.encode(picture)) == redis_server.command("STRLEN", key))
