"""Redis in trouble: no call fails, none takes long, and its return is noticed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from proxy.cache.redis_tier import RedisTier
from proxy.domain.errors import Unreachable
from proxy.domain.grant import Grant
from proxy.domain.picture import Picture
from proxy.redis.circuit_breaker import State
from proxy.redis.failures import RedisFailure
from tests.cache.conftest import MakeTier, Watched, value_of
from tests.conftest import StartRedis
from tests.harness.redis_server import RedisServer, free_port
from tests.harness.relay import Relay
from tests.harness.stream_server import stream_server

GRANT = Grant("https://cloud.example.com/x?sign=y", 1795000000.5, "ab12", own=True)
PICTURE = Picture("ab12", "image/png", "", bytes(20_000))
LARGE = Picture("cd34", "image/png", "", bytes(8 * 1024 * 1024))

TIMEOUT_S = 0.2
PAUSE_S = 0.1
SLACK_S = 10.0  # for a busy machine; without a bound a frozen server would take for ever
QUICK = {"timeout_s": TIMEOUT_S, "pause_s": PAUSE_S}

Break = Callable[[RedisServer], None]
_T = TypeVar("_T")


async def timed(call: Awaitable[_T]) -> _T:
    """Await a call that must neither fail nor take longer than its caller was told to wait."""
    started = time.monotonic()
    outcome = await call
    assert time.monotonic() - started < TIMEOUT_S + SLACK_S
    return outcome


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Try again in short steps until it holds; the test's own time limit ends it."""
    while not await condition():  # noqa: ASYNC110 - what is waited for happens in another process
        await asyncio.sleep(0.01)


async def until_recovered(tier: RedisTier) -> None:
    """Set and get as visitors do, until a get is a hit; every call on the way is bounded."""

    async def hits() -> bool:
        await timed(tier.set("g:back", GRANT, 60.0))
        return bool(await timed(tier.get("g:back")) == GRANT)

    await until(hits)
    assert tier.state is State.UP


async def use_all(tier: RedisTier) -> list[object]:
    """Call everything there is, one after the other, and give what came back."""
    return [
        await timed(tier.get("g:1")),
        await timed(tier.set("g:1", GRANT, ttl=60.0)),
        await timed(tier.set("p:2", LARGE, ttl=60.0)),
        await timed(tier.multi_get(["g:1", "g:2"])),
        await timed(tier.exists("g:1")),
        await timed(tier.delete("g:3")),
        await timed(tier.expire("g:1", 60.0)),
        await timed(tier.clear()),
        await timed(value_of(tier, "g:1")),
    ]


NOTHING: list[object] = [None, False, False, [None, None], False, 0, False, False, None]


async def warm(make_tier: MakeTier, url: str) -> Watched:
    """Build a tier that has connections, and an entry in Redis."""
    watched = make_tier(url, **QUICK)
    await watched.tier.set("g:1", GRANT, 600.0)
    await asyncio.gather(*(watched.tier.get("g:1") for _ in range(5)))
    assert watched.troubles == []
    return watched


@pytest.mark.parametrize("socket", ["loopback", "unix"])
@pytest.mark.parametrize("fault", [RedisServer.stop, RedisServer.kill, RedisServer.freeze])
async def test_redis_away_is_a_miss_until_it_is_back(
    make_tier: MakeTier, start_redis: StartRedis, fault: Break, socket: str
) -> None:
    server = start_redis()
    watched = await warm(make_tier, server.unix_url if socket == "unix" else server.url)
    fault(server)
    assert await use_all(watched.tier) == NOTHING
    await until(lambda: is_paused(watched.tier))
    assert set(watched.troubles) <= {RedisFailure.UNREACHABLE, RedisFailure.TIMEOUT, RedisFailure.LATE}
    if fault is RedisServer.freeze:
        server.thaw()
    else:
        server.start()
    await until_recovered(watched.tier)


async def is_paused(tier: RedisTier) -> bool:
    """Tell whether trouble has been noticed."""
    return tier.state is State.PAUSED


@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.freeze])
async def test_a_paused_redis_costs_nothing(make_tier: MakeTier, start_redis: StartRedis, fault: Break) -> None:
    """A thousand calls, probes among them, take together less than one that waits for its end."""
    server = start_redis()
    watched = make_tier(server.url, timeout_s=5.0, pause_s=0.02)
    fault(server)
    impatient = make_tier(server.url, timeout_s=0.05, pause_s=0.02).tier
    await until(lambda: asked_in_vain(impatient))
    started = time.monotonic()
    for _ in range(1000):
        assert await impatient.get("g:1") is None
        await impatient.set("p:1", PICTURE, 60.0)
        await asyncio.sleep(0)
    assert time.monotonic() - started < SLACK_S
    assert impatient.state is State.PAUSED
    assert watched.tier.state is State.UP, "who has not asked does not know"


async def asked_in_vain(tier: RedisTier) -> bool:
    """Ask once, and tell whether the tier is paused."""
    await tier.get("g:1")
    return tier.state is State.PAUSED


async def test_a_restart_between_two_calls_is_just_a_miss(make_tier: MakeTier, start_redis: StartRedis) -> None:
    """Connections of before are found dead when taken from the pool, and nothing is paused."""
    server = start_redis()
    watched = await warm(make_tier, server.url)
    server.kill()
    server.start()
    await asyncio.sleep(0)  # the loop learns of the closed connections
    assert await timed(watched.tier.get("g:1")) is None
    await watched.tier.set("g:1", GRANT, 60.0)
    assert await timed(watched.tier.get("g:1")) == GRANT
    assert watched.troubles == []


async def test_only_one_probe_goes_out_per_pause(make_tier: MakeTier, start_redis: StartRedis) -> None:
    """All others miss meanwhile; a hanging Redis is not pressed."""
    server = start_redis()
    watched = await warm(make_tier, server.url)
    server.freeze()
    await until(lambda: asked_in_vain(watched.tier))
    await asyncio.gather(*(watched.tier.get("g:1") for _ in range(200)))
    server.thaw()
    server.command("CONFIG", "RESETSTAT")
    await until_recovered(watched.tier)
    stats = server.command("INFO", "commandstats")
    assert isinstance(stats, dict)
    assert stats["cmdstat_ping"]["calls"] <= 2
    assert stats["cmdstat_mget"]["calls"] < 100, "the missed calls have not been made up for"


async def test_a_full_redis_drops_writes_and_serves_reads(make_tier: MakeTier, start_redis: StartRedis) -> None:
    """With the policy `noeviction` it refuses to grow."""
    server = start_redis(**{"maxmemory": "0", "maxmemory-policy": "noeviction"})
    watched = await warm(make_tier, server.url)
    server.command("CONFIG", "SET", "maxmemory", "1")
    for _ in range(3):
        await timed(watched.tier.set("p:2", PICTURE, 60.0))
        assert await timed(watched.tier.get("g:1")) == GRANT
        assert await timed(watched.tier.get("p:2")) is None
    assert watched.troubles == [RedisFailure.REFUSED] * 3
    assert watched.tier.state is State.UP
    server.command("CONFIG", "SET", "maxmemory", "0")
    await until_recovered(watched.tier)


async def test_a_full_redis_that_evicts_is_no_trouble(make_tier: MakeTier, start_redis: StartRedis) -> None:
    """The recommended setting: old entries go, new ones come."""
    server = start_redis(**{"maxmemory": "4mb", "maxmemory-policy": "allkeys-lru"})
    watched = make_tier(server.url)
    for n in range(400):
        await watched.tier.set(f"p:{n}", PICTURE, 60.0)
        assert await watched.tier.get(f"p:{n}") == PICTURE
    found = await watched.tier.multi_get([f"p:{n}" for n in range(400)])
    assert 0 < found.count(PICTURE) < 200
    assert found.count(None) == 400 - found.count(PICTURE)
    assert watched.troubles == []


async def test_a_read_only_replica_drops_writes_and_serves_reads(make_tier: MakeTier, start_redis: StartRedis) -> None:
    server = start_redis()
    watched = await warm(make_tier, server.url)
    server.command("REPLICAOF", "127.0.0.1", free_port())
    await timed(watched.tier.set("p:2", PICTURE, 60.0))
    await timed(watched.tier.delete("g:1"))
    assert await timed(watched.tier.get("g:1")) == GRANT
    assert watched.troubles == [RedisFailure.REFUSED] * 2
    assert watched.tier.state is State.UP
    server.command("REPLICAOF", "NO", "ONE")
    await until_recovered(watched.tier)


@pytest.mark.parametrize("secret", ["", ":wrong@", "nobody:wrong@"])
@pytest.mark.parametrize("socket", ["loopback", "unix"])
async def test_a_wrong_password_is_a_miss_and_not_tried_all_the_time(
    make_tier: MakeTier, start_redis: StartRedis, secret: str, socket: str
) -> None:
    """The doctor says so; the log shows neither it nor the right one."""
    server = start_redis(requirepass="right")
    url = f"redis://{secret}127.0.0.1:{server.port}"
    if socket == "unix":
        user, _, password = secret.strip("@").rpartition(":")
        url = f"{server.unix_url}?username={user or 'default'}&password={password or 'none'}"
    watched = make_tier(url, **QUICK)
    assert await use_all(watched.tier) == NOTHING
    assert watched.tier.state is State.PAUSED
    assert set(watched.troubles) == {RedisFailure.DENIED}
    with pytest.raises(Unreachable, match="user or the password"):
        await watched.tier.ping()


async def test_a_password_put_right_is_noticed(make_tier: MakeTier, start_redis: StartRedis) -> None:
    """On the server's side, where it is changed without a restart."""
    server = start_redis(requirepass="right")
    watched = make_tier(f"redis://:new@127.0.0.1:{server.port}", **QUICK)
    assert await timed(watched.tier.get("g:1")) is None
    server.command("CONFIG", "SET", "requirepass", "new")
    await until_recovered(watched.tier)


async def test_a_redis_that_is_loading_is_a_miss_until_it_has_loaded(
    make_tier: MakeTier, start_redis: StartRedis
) -> None:
    """After a restart with much data it answers LOADING for a while."""
    server = start_redis(rdbcompression="no")
    for n in range(200):
        server.command("SET", f"other:{n}", bytes(100_000))
    server.command("SAVE")
    server.stop()
    server.options["key-load-delay"] = "5000"  # microseconds; it looks up from loading every 2 MB
    server.start()
    watched = make_tier(server.url, **QUICK)
    assert await use_all(watched.tier) == NOTHING
    assert watched.tier.state is State.PAUSED
    with pytest.raises(Unreachable, match="loading"):
        await watched.tier.ping()
    await until_recovered(watched.tier)


async def test_no_room_for_another_client_is_a_miss(make_tier: MakeTier, start_redis: StartRedis) -> None:
    """Redis greets the surplus one with an error and hangs up."""
    server = start_redis()
    watched = make_tier(server.url, **QUICK)
    with server.client() as client:
        client.config_set("maxclients", 1)
        assert await use_all(watched.tier) == NOTHING
        assert watched.tier.state is State.PAUSED
        client.config_set("maxclients", 100)
    await until_recovered(watched.tier)


@pytest.mark.parametrize("greeting", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$-5\r\n", b"*1\r\n", b"\x00" * 5000])
async def test_something_else_than_redis_is_a_miss(make_tier: MakeTier, greeting: bytes) -> None:

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(greeting)
        writer.close()

    async with stream_server(answer) as port:
        watched = make_tier(f"redis://127.0.0.1:{port}", **QUICK)
        assert await use_all(watched.tier) == NOTHING
        await until(lambda: is_paused(watched.tier))
        with pytest.raises(Unreachable):
            await watched.tier.ping()


async def test_a_connection_cut_in_the_middle_of_a_reply_is_a_miss(
    make_tier: MakeTier, redis_server: RedisServer
) -> None:
    async with Relay(redis_server.port) as relay:
        watched = make_tier(f"redis://127.0.0.1:{relay.port}", timeout_s=10.0, pause_s=PAUSE_S)
        await watched.tier.set("p:2", LARGE, 60.0)
        relay.hold()
        asked = asyncio.create_task(watched.tier.get("p:2"))
        await relay.holds()
        relay.cut()
        assert await asked is None
        assert watched.troubles == [RedisFailure.UNREACHABLE]
        relay.let_go()
        await until_recovered(watched.tier)
        assert await watched.tier.get("p:2") == LARGE
        await watched.tier.aclose()


async def test_a_reply_that_comes_too_late_is_a_miss_and_reaches_nobody_else(
    make_tier: MakeTier, redis_server: RedisServer
) -> None:
    async with Relay(redis_server.port) as relay:
        watched = make_tier(f"redis://127.0.0.1:{relay.port}", max_connections=1, **QUICK)
        await watched.tier.set("p:1", PICTURE, 60.0)
        await watched.tier.set("g:1", GRANT, 60.0)
        relay.hold()
        assert await timed(watched.tier.get("p:1")) is None
        await until(lambda: is_paused(watched.tier))
        relay.let_go()
        await until_recovered(watched.tier)
        assert await watched.tier.get("g:1") == GRANT
        assert await watched.tier.get("p:1") == PICTURE
        await watched.tier.aclose()


async def test_callers_beyond_the_connections_give_up_in_time(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """Behind commands that hang they wait no longer than anybody, and send nothing after they have gone."""
    async with Relay(redis_server.port) as relay:
        watched = make_tier(f"redis://127.0.0.1:{relay.port}", max_connections=2, **QUICK)
        await watched.tier.set("g:1", GRANT, 60.0)
        relay.hold()
        assert await asyncio.gather(*(timed(watched.tier.get(f"g:{n}")) for n in range(1000))) == [None] * 1000
        assert await asyncio.gather(*(timed(watched.tier.delete(f"p:{n}")) for n in range(100))) == [0] * 100
        relay.let_go()
        redis_server.command("CONFIG", "RESETSTAT")
        await until_recovered(watched.tier)
        stats = redis_server.command("INFO", "commandstats")
        assert isinstance(stats, dict)
        assert stats["cmdstat_mget"]["calls"] < 10, "of the hits; those that hung were read in 3 batches of 64"
        assert "cmdstat_unlink" not in stats
        await watched.tier.aclose()


async def test_closing_while_redis_hangs_takes_no_longer_than_a_time_out(
    make_tier: MakeTier, start_redis: StartRedis
) -> None:
    server = start_redis()
    watched = await warm(make_tier, server.url)
    server.freeze()
    writes = [asyncio.create_task(watched.tier.set(f"p:{n}", LARGE, 60.0)) for n in range(3)]
    await asyncio.sleep(0)
    started = time.monotonic()
    await watched.tier.aclose()
    assert time.monotonic() - started < 2 * TIMEOUT_S + SLACK_S
    assert await asyncio.gather(*writes) == [False] * 3
