"""Redis as a stranger: whatever somebody else writes there shows nothing, and what stands there opens nothing."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from proxy.domain import codec
from proxy.domain.entry import Entry
from proxy.domain.grant import Grant
from proxy.domain.picture import Picture
from proxy.domain.tags import EVERYTHING
from proxy.grants.change_log import LogEntry, LogEntryKind, encode
from proxy.standin.standin import StandIn
from tests.gateway.test_changes import delete
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, in_share, kept, until
from tests.harness.redis_server import RedisServer

KEYS = {"keys": ["a key that is long enough for these tests"]}
HTML = b"<script>alert(1)</script>"


@pytest.fixture(params=["plain", "sealed"])
async def gateways(
    request: pytest.FixtureRequest, launcher: GatewayLauncher, redis_server: RedisServer
) -> list[GatewayClient]:
    """Run two gateways on one Redis, with and without `seal.keys`."""
    seal = KEYS if request.param == "sealed" else {"keys": []}
    patient = {"deadline_s": 400.0}  # a quarter of it is how long another's lease is waited for
    return [await launcher.open(redis={"url": redis_server.url}, seal=seal, server=patient) for _ in range(2)]


@pytest.fixture
async def plain(launcher: GatewayLauncher, redis_server: RedisServer) -> list[GatewayClient]:
    """Run two gateways on one Redis, without `seal.keys`."""
    return [await launcher.open(redis={"url": redis_server.url}) for _ in range(2)]


def value(redis: RedisServer, prefix: str) -> tuple[str, bytes]:
    """Give the only key with this prefix, and what it holds, once it is there."""
    [key] = kept(redis, prefix)
    held = redis.command("GET", key)
    assert isinstance(held, bytes)
    return key, held


async def written(redis: RedisServer, prefix: str) -> tuple[str, bytes]:
    """Wait until a key with this prefix is there."""
    await until(lambda: kept(redis, prefix))
    return value(redis, prefix)


def altered(redis: RedisServer, prefix: str, change: Callable[[Entry], Entry]) -> None:
    """Replace an entry by another one of the same shape, as somebody may who knows it."""
    key, held = value(redis, prefix)
    entry = codec.decode(held)
    assert entry is not None
    redis.command("SET", key, codec.encode(change(entry)), "PX", "600000")


@pytest.mark.parametrize("end", [1e18, math.inf, math.nan, -math.inf])
async def test_a_grant_without_an_end_is_none(
    cloudreve: StandIn, plain: list[GatewayClient], redis_server: RedisServer, end: float
) -> None:
    """No time is believed that the configuration does not allow; no request fails of it."""
    one, other = plain
    await one.ask(in_share(cloudreve))
    await written(redis_server, "g:")

    def endless(entry: Entry) -> Entry:
        assert isinstance(entry, Grant)
        return replace(entry, fresh_until=end)

    altered(redis_server, "g:", endless)
    reply = await other.ask(in_share(cloudreve))
    assert (reply.status, cloudreve.calls.count("resolve")) == (200, 2)
    assert reply.max_age_s <= 3600


async def test_a_web_page_is_no_picture(
    cloudreve: StandIn, plain: list[GatewayClient], redis_server: RedisServer
) -> None:
    one, other = plain
    await one.ask(in_share(cloudreve))
    await written(redis_server, "p:")

    def page(entry: Entry) -> Entry:
        assert isinstance(entry, Picture)
        return replace(entry, media_type="text/html", body=HTML)

    altered(redis_server, "p:", page)
    reply = await other.ask(in_share(cloudreve))
    assert (reply.status, reply.headers["Content-Type"]) == (200, "image/png")
    assert HTML not in reply.body


@pytest.mark.parametrize("ttl", [(), ("PX", "86400000")], ids=["without end", "of a day"])
async def test_a_lease_that_is_none_of_ours_is_not_waited_for(
    cloudreve: StandIn, gateways: list[GatewayClient], redis_server: RedisServer, ttl: tuple[str, ...]
) -> None:
    one, other = gateways
    await one.ask(in_share(cloudreve))
    key, _ = await written(redis_server, "g:")
    picture, _ = await written(redis_server, "p:")
    for name in (key, picture):
        redis_server.command("DEL", name)
        redis_server.command("SET", f"thumb-proxy:lease:{{{name}}}", "somebody", *ttl)
    async with asyncio.timeout(30.0):
        assert (await other.ask(in_share(cloudreve))).status == 200


def told(tag: bytes) -> bytes:
    return encode(LogEntry(LogEntryKind.END, origin=b"stranger", number=1, tags=(tag,)))


@pytest.mark.parametrize(
    ("seal", "entry"),
    [
        (KEYS, told(EVERYTHING)),
        ({}, b"rubbish"),
        ({}, told(b"short")),
    ],
    ids=["not sealed", "no entry", "no tag"],
)
async def test_a_change_that_no_replica_has_told_ends_nothing(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer, seal: dict[str, object], entry: bytes
) -> None:
    """Else every request would be a resolve; what replicas tell later is heard all the same."""
    sections: dict[str, Any] = {"redis": {"url": redis_server.url}, "server": {"passthrough": True}, "seal": seal}
    gateway, other = await launcher.open(**sections), await launcher.open(**sections)
    token = cloudreve.token()
    await gateway.ask(ONE, token)
    keys = redis_server.command("KEYS", "*:changes")
    assert isinstance(keys, list)
    redis_server.command("XADD", keys[0], "*", "e", entry)
    await delete(other, token)
    await until(lambda: gateway.count("changes_heard") == 1)
    assert (await gateway.ask(ONE, token)).status == 404


async def test_a_message_that_nobody_of_us_sent_shows_nothing(
    cloudreve: StandIn, gateways: list[GatewayClient], redis_server: RedisServer
) -> None:
    """While a load is under way everybody may hear that it has ended; what they show is what Cloudreve gave."""
    one, other = gateways
    cloudreve.generator.gate = gate = asyncio.Event()
    tasks = [asyncio.create_task(gateway.ask(in_share(cloudreve))) for gateway in (one, other)]
    await cloudreve.calls.arrived("resolve", 1)
    planted = Grant("http://127.0.0.1:1/x", 4e9, "ab", own=True)
    channels = redis_server.command("PUBSUB", "CHANNELS")
    assert isinstance(channels, list)
    leases = redis_server.command("KEYS", "*lease*")
    assert isinstance(leases, list)
    for channel in channels:
        for lease in leases:
            key = lease.decode().partition("{")[2].rstrip("}")
            for status in ("+", "-"):
                message = f"{key} {status}".encode() + codec.encode(planted)
                redis_server.command("PUBLISH", channel.decode(), message)
    gate.set()
    replies = await asyncio.gather(*tasks)
    assert [reply.status for reply in replies] == [200, 200]
    assert len({reply.body for reply in replies}) == 1
