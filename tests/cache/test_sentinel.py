"""Redis behind Sentinels: a failover under load costs misses for a moment, and no call fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from proxy.cache.redis_tier import RedisTier
from proxy.domain.errors import Unreachable
from proxy.redis.pubsub import PubSubChannel
from tests.cache.conftest import MakeTier
from tests.harness.redis_server import RedisServer, until
from tests.harness.sentinels import SERVICE, Watched
from tests.harness.tier_load import SLACK_S, TIMEOUT_S, load_on, picture

QUICK = {"timeout_s": TIMEOUT_S, "pause_s": 0.1}
VISITORS = 20


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Run two servers and three Sentinels for all tests here."""
    watched = Watched(tmp_path_factory.mktemp("watched"))
    try:
        yield watched.start()
    finally:
        watched.kill()


@pytest.fixture
def watched(running: Watched) -> Watched:
    """Give them whole again, whatever the test before has done."""
    running.mend()
    until(lambda: all(is_whole(sentinel) for sentinel in running.sentinels))
    return running


def is_whole(sentinel: RedisServer) -> bool:
    """Tell whether a Sentinel sees nothing wrong."""
    with sentinel.client() as client:
        flags = [replica["flags"] for replica in client.sentinel_slaves(SERVICE)]
    return sentinel.info("sentinel")["master0"]["status"] == "ok" and flags == ["slave"]


async def hits(tier: RedisTier) -> None:
    while not (await tier.set("p:9", picture(9), 60.0) and await tier.get("p:9") == picture(9)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def failed_over(watched: Watched, from_: RedisServer) -> None:
    """Wait until the Sentinels name the other server."""
    while await asyncio.to_thread(watched.master) is from_:  # noqa: ASYNC110 - other processes decide
        await asyncio.sleep(0.02)


async def test_the_server_that_the_sentinels_name_is_used(make_tier: MakeTier, watched: Watched) -> None:
    found = make_tier(watched.url)
    await hits(found.tier)
    assert 0 < await found.tier.ping() < 10
    assert watched.master().command("EXISTS", found.tier.build_key("p:9")) == 1
    assert found.troubles == []


async def test_another_database(make_tier: MakeTier, watched: Watched) -> None:
    found = make_tier(f"{watched.url}/7")
    await hits(found.tier)
    with watched.master().client() as client:
        client.select(7)
        assert client.exists(found.tier.build_key("p:9")) == 1


async def test_a_service_that_no_sentinel_knows_is_a_miss(make_tier: MakeTier, watched: Watched) -> None:
    """The doctor says that it cannot be reached."""
    found = make_tier(watched.url.replace(SERVICE, "others"), **QUICK)
    assert await found.tier.get("p:1") is None
    assert not found.tier.is_up
    with pytest.raises(Unreachable):
        await found.tier.ping()


async def test_sentinels_that_are_away_are_asked_in_vain_and_others_answer(
    make_tier: MakeTier, watched: Watched
) -> None:
    dead = f"redis+sentinel://127.0.0.1:1,{watched.hosts}/{SERVICE}"
    await hits(make_tier(dead, **QUICK).tier)
    watched.sentinels[0].freeze()
    try:
        await hits(make_tier(watched.url, **QUICK).tier)
    finally:
        watched.sentinels[0].thaw()


@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.freeze])
async def test_a_failover_under_load_fails_no_call_and_is_noticed(
    make_tier: MakeTier, watched: Watched, fault: Callable[[RedisServer], None]
) -> None:
    """The server goes; its replica takes over; the old one comes back as a replica, and nothing is lost by that."""
    found = make_tier(watched.url, **QUICK)
    old = watched.master()
    async with load_on(found.tier, range(VISITORS)):
        await hits(found.tier)
        await asyncio.to_thread(fault, old)
        await failed_over(watched, old)
        started = time.monotonic()
        await hits(found.tier)
        assert time.monotonic() - started < 2.0 + SLACK_S
        await asyncio.to_thread(watched.mend)
        await hits(found.tier)
        assert watched.master().command("EXISTS", found.tier.build_key("p:9")) == 1


async def test_a_failover_that_was_asked_for_is_a_moment_s_misses(make_tier: MakeTier, watched: Watched) -> None:
    """Both servers are up all the time; what is written goes to the new one."""
    found = make_tier(watched.url, **QUICK)
    old = watched.master()
    async with load_on(found.tier, range(VISITORS)):
        await hits(found.tier)
        await asyncio.to_thread(watched.sentinels[0].command, "SENTINEL", "FAILOVER", SERVICE)
        await failed_over(watched, old)
        await hits(found.tier)
        new = watched.master()
        await asyncio.to_thread(until, lambda: new.command("EXISTS", found.tier.build_key("p:9")) == 1)


async def test_news_are_heard_from_the_new_server(make_tier: MakeTier, watched: Watched) -> None:
    found = make_tier(watched.url, **QUICK)
    pubsub = PubSubChannel(found.tier.connections, "thumb-proxy")
    listening = asyncio.create_task(pubsub.listen())
    try:
        old = watched.master()
        await asyncio.to_thread(old.kill)
        await failed_over(watched, old)
        with pubsub.reader("g:1") as reader:
            while not reader.done():
                await asyncio.to_thread(watched.master().command, "PUBLISH", pubsub.channel, b"g:1 told")
                await asyncio.sleep(0.02)
            assert reader.result() == b"told"
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_passwords_of_servers_and_sentinels_are_two(
    make_tier: MakeTier, tmp_path_factory: pytest.TempPathFactory
) -> None:
    locked = Watched(tmp_path_factory.mktemp("locked"), "of-servers", "of-sentinels")
    try:
        locked.start()
        url = f"redis+sentinel://:of%2Dservers@{locked.hosts}/{SERVICE}"
        found = make_tier(f"{url}?sentinel_password=of-sentinels")
        await hits(found.tier)
        assert found.troubles == []
        for wrong in (url, f"{url}?sentinel_password=of-servers", locked.url + "?sentinel_password=of-sentinels"):
            assert await make_tier(wrong, **QUICK).tier.get("p:9") is None
    finally:
        locked.kill()
