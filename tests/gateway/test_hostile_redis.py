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
    """Whatever type it is said to have."""
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


@pytest.mark.parametrize("junk", [b"", b"\x00", b"junk" * 100, b"\x96\xa7grant/3"], ids=["empty", "nul", "junk", "cut"])
@pytest.mark.parametrize("prefix", ["g:", "p:"])
async def test_junk_is_a_miss(
    cloudreve: StandIn, gateways: list[GatewayClient], redis_server: RedisServer, prefix: str, junk: bytes
) -> None:
    """Of either kind of entry."""
    one, other = gateways
    await one.ask(in_share(cloudreve))
    key, _ = await written(redis_server, prefix)
    redis_server.command("SET", key, junk, "PX", "600000")
    assert (await other.ask(in_share(cloudreve))).status == 200


@pytest.mark.parametrize("prefix", ["g:", "p:"])
async def test_a_value_of_another_type_is_a_miss(
    cloudreve: StandIn, gateways: list[GatewayClient], redis_server: RedisServer, prefix: str
) -> None:
    """A list, say."""
    one, other = gateways
    await one.ask(in_share(cloudreve))
    key, _ = await written(redis_server, prefix)
    redis_server.command("DEL", key)
    redis_server.command("LPUSH", key, "x")
    assert (await other.ask(in_share(cloudreve))).status == 200


@pytest.mark.parametrize("ttl", [(), ("PX", "86400000")], ids=["without end", "of a day"])
async def test_a_lease_that_is_none_of_ours_is_not_waited_for(
    cloudreve: StandIn, gateways: list[GatewayClient], redis_server: RedisServer, ttl: tuple[str, ...]
) -> None:
    """Its holder will never say anything."""
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
    """Make an entry of the log of changes."""
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


async def test_with_keys_nothing_in_redis_opens_a_picture(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    """No signed URL and no bytes of a picture stand there to be read."""
    gateway = await launcher.open(redis={"url": redis_server.url}, seal=KEYS)
    reply = await gateway.ask(in_share(cloudreve))
    for prefix in ("g:", "p:"):
        _, held = await written(redis_server, prefix)
        for secret in (b"sign=", b"file/content", b"http", reply.body[:16], reply.body[-200:-100]):
            assert secret not in held


async def test_with_keys_nothing_is_shown_that_others_have_written(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    """Neither an entry of the right shape nor a true one under another name."""
    one, other = [await launcher.open(redis={"url": redis_server.url}, seal=KEYS) for _ in range(2)]
    await one.ask(in_share(cloudreve))
    grant, held = await written(redis_server, "g:")
    planted = Grant("http://127.0.0.1:1/x", launcher.hours.now() + 600, "ab", own=True, granted_at=launcher.hours.now())
    redis_server.command("SET", grant, codec.encode(planted), "PX", "600000")
    assert (await other.ask(in_share(cloudreve))).status == 200
    assert cloudreve.calls.count("resolve") == 2
    third = await launcher.open(redis={"url": redis_server.url}, seal=KEYS)
    await third.ask(in_share(cloudreve, "two.png"))
    for key in kept(redis_server, "g:"):
        redis_server.command("SET", key, held, "PX", "600000")  # one grant under every name
    fourth = await launcher.open(redis={"url": redis_server.url}, seal=KEYS)
    two = await fourth.ask(in_share(cloudreve, "two.png"))
    assert two.body == (await third.ask(in_share(cloudreve, "two.png"))).body


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
