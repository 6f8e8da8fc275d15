"""The Redis tier in good days: where it writes, for how long, and what it makes of foreign data."""

from __future__ import annotations

import asyncio
import math
import re
from pathlib import Path

import pytest

from proxy.domain.codec import VERSION
from proxy.domain.errors import Unreachable
from proxy.domain.grant import Grant
from proxy.domain.picture import Picture
from proxy.domain.value_seal import ValueSeal
from proxy.redis.circuit_breaker import State
from proxy.redis.client import SPARE_CONNECTIONS
from proxy.redis.failures import RedisFailure
from proxy.redis.lease import LeaseHolder
from proxy.redis.leases import STORED, Leases
from proxy.redis.pubsub import PubSubChannel
from tests.cache.conftest import MakeTier
from tests.conftest import StartRedis
from tests.harness.loaders import committed
from tests.harness.redis_server import RedisServer

DEPLOYMENT = Path(__file__).parents[2] / "docs" / "deployment.md"
GRANT = Grant("https://cloud.example.com/x?sign=y", 1795000000.5, "ab12", own=True)


def keys(server: RedisServer) -> list[bytes]:
    found = server.command("KEYS", "*")
    assert isinstance(found, list)
    return sorted(found)


async def test_keys_name_the_namespace_the_version_and_the_site(make_tier: MakeTier, redis_server: RedisServer) -> None:
    await make_tier(redis_server.url, namespace="mine").tier.set("g:1", GRANT, 60.0)
    (key,) = keys(redis_server)
    assert key.startswith(f"mine:v{VERSION}:".encode())
    assert key.endswith(b":g:1")
    assert len(key) == len(f"mine:v{VERSION}:01234567:g:1")


async def test_two_sites_on_one_redis_share_nothing(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """The same user id or entity id means something else on another site; two replicas of one site share all."""
    one = make_tier(redis_server.url, site="http://one:5212").tier
    replica = make_tier(redis_server.url, site="http://one:5212/").tier
    other = make_tier(redis_server.url, site="http://other:5212").tier
    await one.set("g:1", GRANT, 60.0)
    assert await replica.get("g:1") == GRANT
    assert await other.get("g:1") is None
    await other.clear()
    await other.delete("g:1")
    assert await one.get("g:1") == GRANT


async def test_clearing_leaves_other_people_s_keys(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """The Redis may be shared with Cloudreve itself; what replicas share besides entries stays too."""
    redis_server.command("SET", "cloudreve_session", "precious")
    redis_server.command("SET", f"mine:v{VERSION}", "precious")
    tier = make_tier(redis_server.url, namespace="mine").tier
    redis_server.command("SET", tier.build_key("c:1"), "precious")
    await tier.set("g:1", GRANT, 60.0)
    assert await tier.clear() is True
    ours = [f"mine:v{VERSION}".encode(), tier.build_key("c:1").encode()]
    assert keys(redis_server) == [b"cloudreve_session", *ours]


async def test_an_entry_that_is_stored_is_sealed(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """Under a name it opens for those who have the key; nobody else reads it, or finds it under another name."""
    seal = ValueSeal(["a key that is long enough for tests"])
    tier, plain = make_tier(redis_server.url, seal=seal).tier, make_tier(redis_server.url).tier
    await tier.set("g:1", GRANT, 60.0)
    assert await tier.get("g:1") == GRANT
    assert await plain.get("g:1") is None
    value = redis_server.command("GET", tier.build_key("g:1"))
    assert isinstance(value, bytes)
    assert GRANT.url.encode() not in value
    redis_server.command("SET", tier.build_key("g:2"), value)
    assert await tier.get("g:2") is None


async def test_a_namespace_to_clear_is_no_pattern(make_tier: MakeTier, redis_server: RedisServer) -> None:
    redis_server.command("SET", "a:1", "precious")
    redis_server.command("SET", "*:1", "gone")
    assert await make_tier(redis_server.url).tier.clear(namespace="*") is True
    assert keys(redis_server) == [b"a:1"]


@pytest.mark.parametrize(("ttl_s", "at_most_ms"), [(0.9994, 999), (1, 1000), (59.9999, 59999), (math.inf, 2**40)])
async def test_the_time_to_live_is_kept_to_the_millisecond(
    make_tier: MakeTier, redis_server: RedisServer, ttl_s: float, at_most_ms: int
) -> None:
    """Rounded down: never longer than the grant."""
    await make_tier(redis_server.url).tier.set("g:1", GRANT, ttl_s)
    remaining_ms = redis_server.command("PTTL", keys(redis_server)[0])
    assert isinstance(remaining_ms, int)
    assert at_most_ms - 500 < remaining_ms <= at_most_ms or math.isinf(ttl_s)


async def test_less_than_a_millisecond_is_not_worth_keeping(make_tier: MakeTier, redis_server: RedisServer) -> None:
    watched = make_tier(redis_server.url)
    await watched.tier.set("g:1", GRANT, 0.0009)
    assert keys(redis_server) == []
    assert watched.troubles == []


async def test_every_key_has_a_time_to_live(make_tier: MakeTier, redis_server: RedisServer) -> None:
    tier = make_tier(redis_server.url).tier
    await tier.set("g:1", GRANT, 60.0)
    await tier.set("g:2", GRANT)
    await tier.multi_set([("g:3", GRANT), ("g:4", GRANT)])
    await tier.expire("g:4", 1e9)
    assert len(keys(redis_server)) == 4
    for key in keys(redis_server):
        remaining_ms = redis_server.command("PTTL", key)
        assert isinstance(remaining_ms, int)
        assert remaining_ms > 0


@pytest.mark.parametrize("raw", [b"", b"garbage", b"\x80\x04N.", b"\x94\xa9refusal/9\xa9not_found\x01\xa0"])
async def test_garbage_under_our_key_is_a_miss(make_tier: MakeTier, redis_server: RedisServer, raw: bytes) -> None:
    watched = make_tier(redis_server.url)
    tier = watched.tier
    redis_server.command("SET", tier.build_key("g:1"), raw)
    assert await tier.get("g:1") is None
    assert watched.troubles == [RedisFailure.GARBAGE]
    await tier.set("g:1", GRANT, 60.0)
    assert await tier.get("g:1") == GRANT


async def test_a_key_that_holds_no_string_is_a_miss(make_tier: MakeTier, redis_server: RedisServer) -> None:
    watched = make_tier(redis_server.url)
    redis_server.command("LPUSH", watched.tier.build_key("g:1"), "x")
    assert await watched.tier.get("g:1") is None
    assert watched.troubles == []
    assert watched.tier.state is State.UP
    await watched.tier.set("g:1", GRANT, 60.0)
    assert await watched.tier.get("g:1") == GRANT


async def test_a_user_of_the_access_control_list(make_tier: MakeTier, start_redis: StartRedis) -> None:
    server = start_redis()
    [rules] = re.findall(r"ACL SETUSER thumbs on >secret ([^`]*)`", DEPLOYMENT.read_text(encoding="utf-8"))
    server.command("ACL", "SETUSER", "thumbs", "on", ">p@ss/word", *rules.split())
    server.command("ACL", "SETUSER", "default", "off")
    watched = make_tier(f"redis://thumbs:p%40ss%2Fword@127.0.0.1:{server.port}/0")
    await watched.tier.set("g:1", GRANT, 60.0)
    assert await watched.tier.get("g:1") == GRANT
    await watched.tier.delete("g:1")
    assert await watched.tier.get("g:1") is None
    assert await watched.tier.ping() > 0
    pubsub = PubSubChannel(watched.tier.connections, watched.tier.namespace)
    leases = Leases(watched.tier.connections, pubsub, "thumb-proxy")
    listening = asyncio.create_task(pubsub.listen())
    with pubsub.reader("thumb-proxy:g:1") as message:
        async with leases.attempt("thumb-proxy:g:1") as lease:
            while not pubsub.is_heard:  # noqa: ASYNC110 - the subscription says so in its own time
                await asyncio.sleep(0.001)
            async with leases.attempt("thumb-proxy:g:1") as other:
                assert (lease.held, other.held) == (LeaseHolder.MINE, LeaseHolder.OTHERS)
            assert await leases.remaining_s("thumb-proxy:g:1") > 0
            lease.message, lease.commit = b"told", committed("kept")
        assert await message == STORED + b"told"
    listening.cancel()
    await asyncio.wait({listening})
    assert watched.troubles == []
    assert await watched.tier.clear() is False, "SCAN is not among the rights"
    assert watched.troubles == [RedisFailure.REFUSED]


async def test_the_url_selects_the_database(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """By the path of the URL, or by the query of a socket's."""
    tier = make_tier(redis_server.url.removesuffix("/0") + "/5").tier
    await tier.set("g:1", GRANT, 60.0)
    assert keys(redis_server) == []
    assert await make_tier(f"{redis_server.unix_url}?db=5").tier.get("g:1") == GRANT


async def test_ping_measures_or_says_what_is_wrong(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """For the doctor; neither password nor address is in the message."""
    assert 0 < await make_tier(redis_server.url).tier.ping() < 10
    for url, said in [
        (f"redis://:hunter2@127.0.0.1:{redis_server.port}", "user or the password"),
        (f"unix://{redis_server.folder}/redis.sock?password=hunter2", "user or the password"),
        ("redis://user:hunter2@127.0.0.1:1", "cannot be reached"),
        ("unix:///nowhere/redis.sock?password=hunter2", "cannot be reached"),
    ]:
        with pytest.raises(Unreachable, match=said) as caught:
            await make_tier(url).tier.ping()
        assert "hunter2" not in f"{caught.value} {caught.value.__cause__}"
        assert "127.0.0.1" not in caught.value.detail


async def test_the_tier_connects_only_when_used(make_tier: MakeTier) -> None:
    tier = make_tier("redis://127.0.0.1:1").tier
    await tier.aclose()
    assert tier.state is State.UP


async def test_more_callers_than_connections_wait_their_turn(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """A pool on its own lets late comers overtake until the early ones give up."""
    watched = make_tier(redis_server.url, timeout_s=10.0, max_connections=2 + SPARE_CONNECTIONS)
    picture = Picture("ab12", "image/png", "", bytes(20_000))
    await watched.tier.set("p:1", picture, 60.0)

    async def keep_asking() -> None:
        for _ in range(20):
            assert await watched.tier.get("p:1") == picture

    await asyncio.gather(*(keep_asking() for _ in range(50)))
    clients = redis_server.command("INFO", "clients")
    assert isinstance(clients, dict)
    assert clients["connected_clients"] <= 2 + 1, "this one included"
    assert watched.troubles == []


async def test_closing_lets_what_is_under_way_end(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """A write that was begun arrives, although its caller has gone."""
    tier = make_tier(redis_server.url, timeout_s=10.0).tier
    await tier.ping()
    write = asyncio.create_task(tier.set("g:1", GRANT, 60.0))
    await asyncio.sleep(0)
    tier.connections.send("g:2", "SET", tier.build_key("g:2"), b"x", "PX", 60_000)
    await asyncio.sleep(0)  # it is being sent
    tier.connections.send("g:3", "SET", tier.build_key("g:3"), b"x", "PX", 60_000)
    write.cancel()
    await asyncio.wait({write})
    await tier.close()
    assert len(keys(redis_server)) == 3
