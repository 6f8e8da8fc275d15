"""News: heard by whoever reads, through every loss of the connection, and never a cause of trouble."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.redis import pubsub as module
from proxy.redis.pubsub import DEAF_POLL_S, POLL_S, PubSubChannel
from tests.cache.conftest import MakeTier, Watched
from tests.conftest import StartRedis
from tests.harness.gateways import until
from tests.harness.redis_server import RedisServer
from tests.harness.relay import Relay

CHANNEL = "thumb-proxy:news"
NONE = {"rejected_calls": 0}


@asynccontextmanager
async def listening(watched: Watched) -> AsyncIterator[PubSubChannel]:
    """Hear news until the end of the block, which must not take long."""
    pubsub = PubSubChannel(watched.tier.connections, "thumb-proxy")
    task = asyncio.create_task(pubsub.listen())
    try:
        yield pubsub
    finally:
        assert not task.done()
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def pubsub(make_tier: MakeTier, redis_server: RedisServer) -> AsyncIterator[PubSubChannel]:
    async with listening(make_tier(redis_server.url, timeout_s=5.0)) as heard:
        await until(lambda: heard.is_heard)
        yield heard


async def test_every_reader_of_a_key_reads_its_next_message(pubsub: PubSubChannel, redis_server: RedisServer) -> None:
    with pubsub.reader("g:1") as one, pubsub.reader("g:1") as same, pubsub.reader("g:2") as other:
        redis_server.command("PUBLISH", CHANNEL, b"g:1 +\x00told\xff bytes")
        assert await one == await same == b"+\x00told\xff bytes"
        assert not other.done()
        redis_server.command("PUBLISH", CHANNEL, b"g:1 later")
        redis_server.command("PUBLISH", CHANNEL, b"g:2 ")
        assert await other == b""
        assert one.result() != b"later"


async def test_readers_leave_nothing_behind(pubsub: PubSubChannel, redis_server: RedisServer) -> None:
    for number in range(100):
        with pubsub.reader(f"g:{number % 7}"), pubsub.reader("g:0"):
            pass
    with pytest.raises(ValueError, match="x"), pubsub.reader("g:1"):
        raise ValueError("x")
    assert not vars(pubsub)["_readers"]


@pytest.mark.parametrize("message", [b"", b" ", b"nobody reads", b"\xff\xfe x", b"g:1", b"x" * 100_000])
async def test_rubbish_is_nobody_s_news(pubsub: PubSubChannel, redis_server: RedisServer, message: bytes) -> None:
    with pubsub.reader("g:2") as reader:
        redis_server.command("PUBLISH", CHANNEL, message)
        redis_server.command("PUBLISH", CHANNEL, b"g:2 told")
        assert await reader == b"told"


async def test_a_reader_who_has_been_cancelled_disturbs_nobody(
    pubsub: PubSubChannel, redis_server: RedisServer
) -> None:
    with pubsub.reader("g:1") as gone, pubsub.reader("g:1") as there:
        gone.cancel()
        redis_server.command("PUBLISH", CHANNEL, b"g:1 told")
        assert await there == b"told"


async def test_without_a_subscription_one_looks_more_often(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """So that what is lost is not missed for long."""
    watched = make_tier(redis_server.url, timeout_s=5.0)
    assert PubSubChannel(watched.tier.connections, "thumb-proxy").poll_s == DEAF_POLL_S
    async with listening(watched) as heard:
        await until(lambda: heard.is_heard)
        assert heard.poll_s == POLL_S


@pytest.mark.parametrize("fault", [RedisServer.stop, RedisServer.kill])
async def test_messages_are_heard_again_after_a_restart(
    make_tier: MakeTier, start_redis: StartRedis, fault: object
) -> None:
    server = start_redis()
    assert callable(fault)
    async with listening(make_tier(server.url, timeout_s=0.2)) as heard:
        for _ in range(2):
            await until(lambda: heard.is_heard)
            await asyncio.to_thread(fault, server)
            await until(lambda: not heard.is_heard)
            await asyncio.to_thread(server.start)
        await until(lambda: heard.is_heard)
        with heard.reader("g:1") as reader:
            server.command("PUBLISH", CHANNEL, b"g:1 told")
            assert await reader == b"told"


async def test_a_redis_that_hangs_is_found_out(
    make_tier: MakeTier, start_redis: StartRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a ping that is not answered; nothing else tells silence from no news."""
    monkeypatch.setattr(module, "SILENCE_S", 0.05)
    server = start_redis()
    async with listening(make_tier(server.url, timeout_s=0.2)) as heard:
        await until(lambda: heard.is_heard)
        server.command("CONFIG", "RESETSTAT")
        await until(lambda: server.info("commandstats").get("cmdstat_ping", {"calls": 0})["calls"] >= 3)
        assert heard.is_heard, "pings are answered"
        server.freeze()
        await until(lambda: not heard.is_heard)
        server.thaw()
        await until(lambda: heard.is_heard)


async def test_a_line_that_breaks_is_mended(make_tier: MakeTier, redis_server: RedisServer) -> None:
    async with Relay(redis_server.port) as relay:
        watched = make_tier(f"redis://127.0.0.1:{relay.port}", timeout_s=1.0)
        async with listening(watched) as heard:
            for _ in range(3):
                await until(lambda: heard.is_heard)
                relay.cut()
                await until(lambda: not heard.is_heard)
            await until(lambda: heard.is_heard)
        await watched.tier.aclose()
    clients = redis_server.command("CLIENT", "LIST", "TYPE", "pubsub")
    assert not clients


async def test_a_user_who_may_not_subscribe_does_not_keep_trying_all_the_time(
    make_tier: MakeTier, start_redis: StartRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", (0.01, 0.08))
    server = start_redis()
    server.command("ACL", "SETUSER", "thumbs", "on", ">pw", "~*", "resetchannels", "+@all")
    watched = make_tier(f"redis://thumbs:pw@127.0.0.1:{server.port}")
    started = time.monotonic()
    async with listening(watched) as heard:
        await until(lambda: server.info("commandstats").get("cmdstat_subscribe", NONE)["rejected_calls"] >= 6)
        assert not heard.is_heard
    assert time.monotonic() - started > 0.02 + 0.04 + 3 * 0.08
    assert watched.tier.is_up


@pytest.mark.parametrize("steps", range(0, 40, 3))
async def test_listening_can_be_ended_at_any_step(make_tier: MakeTier, redis_server: RedisServer, steps: int) -> None:
    """A cancellation that comes together with a reply is swallowed on the way, by `wait_for` of Python 3.11."""
    async with listening(make_tier(redis_server.url, timeout_s=5.0)):
        for _ in range(steps):
            await asyncio.sleep(0)


async def test_news_and_commands_take_no_connection_from_one_another(
    make_tier: MakeTier, redis_server: RedisServer
) -> None:
    watched = make_tier(redis_server.url, timeout_s=5.0, max_connections=1)
    async with listening(watched) as heard:
        await until(lambda: heard.is_heard)
        assert await asyncio.gather(*(watched.tier.exists(f"g:{n}") for n in range(100))) == [False] * 100
        assert await watched.tier.ping() > 0
    assert watched.troubles == []
