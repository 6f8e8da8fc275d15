"""A Redis Cluster: every key goes where it belongs, and a server that is away costs what it holds and no more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from proxy.cache.redis_tier import RedisTier
from proxy.coalesce.distributed_singleflight import DistributedSingleflight
from proxy.domain.codec import encode
from proxy.domain.errors import Unreachable
from proxy.redis.failures import RedisFailure
from proxy.redis.lease import LeaseHolder
from proxy.redis.leases import Leases
from proxy.redis.pubsub import PubSubChannel
from tests.cache.conftest import MakeTier, value_of, values_of
from tests.harness.loaders import text_loader
from tests.harness.redis_server import RedisServer, until
from tests.harness.sharded import Sharded
from tests.harness.tier_load import SLACK_S, TIMEOUT_S, load_on, picture

COUNT = 60
QUICK = {"timeout_s": TIMEOUT_S, "pause_s": 0.1}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sharded]:
    cluster = Sharded(tmp_path_factory.mktemp("sharded"))
    try:
        yield cluster.start()
    finally:
        cluster.kill()


@pytest.fixture
def sharded(running: Sharded) -> Sharded:
    """Give it whole again, whatever the test before has done."""
    running.mend()
    return running


async def fill(tier: RedisTier) -> None:
    await tier.ping()
    assert all(await asyncio.gather(*(tier.set(f"p:{n}", picture(n), 600.0) for n in range(COUNT))))


async def found(tier: RedisTier) -> list[int]:
    """List the pictures that are found, each of which is the right one."""
    pictures = await asyncio.gather(*(tier.get(f"p:{n}") for n in range(COUNT)))
    for number, one in enumerate(pictures):
        assert one in (None, picture(number))
    return [number for number, one in enumerate(pictures) if one is not None]


async def all_found(tier: RedisTier) -> None:
    """Keep them again and again until all are found."""
    while len(await found(tier)) < COUNT:
        await asyncio.gather(*(tier.set(f"p:{n}", picture(n), 600.0) for n in range(COUNT)))
        await asyncio.sleep(0.01)


async def test_each_key_is_kept_by_the_server_that_holds_it(make_tier: MakeTier, sharded: Sharded) -> None:
    """None has to be asked for elsewhere."""
    watched = make_tier(sharded.url, timeout_s=10.0)
    await fill(watched.tier)
    assert await found(watched.tier) == list(range(COUNT))
    holders = [sharded.holder(watched.tier.build_key(f"p:{n}")) for n in range(COUNT)]
    assert len({server.port for server in holders}) == 3
    for number, server in enumerate(holders):
        assert server.command("EXISTS", watched.tier.build_key(f"p:{number}")) == 1
    assert watched.troubles == []
    assert 0 < await watched.tier.ping() < 10
    assert watched.tier.is_up


async def test_one_server_s_name_is_enough(make_tier: MakeTier, sharded: Sharded) -> None:
    """Also when it is a replica's, or others that are named are not there."""
    for hosts in (f"127.0.0.1:{sharded.servers[-1].port}", f"127.0.0.1:1,127.0.0.1:{sharded.servers[0].port}"):
        await fill(make_tier(f"redis+cluster://{hosts}", timeout_s=10.0).tier)


async def test_reads_of_one_tick_are_one_write_to_each_server(make_tier: MakeTier, sharded: Sharded) -> None:
    tier = make_tier(sharded.url, timeout_s=10.0).tier
    await fill(tier)
    assert await asyncio.gather(*(found(tier) for _ in range(5))) == [list(range(COUNT))] * 5
    values = await values_of(tier, [f"p:{n}" for n in (*range(COUNT), COUNT, 0)])
    assert values == [*(encode(picture(n)) for n in range(COUNT)), None, encode(picture(0))]
    for server in sharded.servers:
        assert server.info("clients")["connected_clients"] < 30


async def test_a_deleted_entry_is_gone_and_clearing_reaches_all_servers(make_tier: MakeTier, sharded: Sharded) -> None:
    """On every server, and nobody else's keys."""
    tier = make_tier(sharded.url, timeout_s=10.0).tier
    await fill(tier)
    await tier.delete("p:1")
    assert await tier.get("p:1") is None
    precious = sharded.holder("precious")
    precious.command("SET", "precious", "x")
    assert await tier.clear() is True
    assert await found(tier) == []
    assert precious.command("GET", "precious") == b"x"


async def test_without_any_server_everything_is_a_miss(make_tier: MakeTier) -> None:
    watched = make_tier("redis+cluster://127.0.0.1:1,127.0.0.1:2", **QUICK)
    assert await watched.tier.get("p:1") is None
    assert await value_of(watched.tier, "p:1") is None
    assert await watched.tier.set("p:1", picture(1), 60.0) is False
    assert await watched.tier.clear() is False
    assert not watched.tier.is_up
    with pytest.raises(Unreachable):
        await watched.tier.ping()


async def test_a_server_that_is_no_cluster_is_a_miss(make_tier: MakeTier, redis_server: RedisServer) -> None:
    watched = make_tier(f"redis+cluster://127.0.0.1:{redis_server.port}", **QUICK)
    assert await watched.tier.get("p:1") is None
    with pytest.raises(Unreachable, match="refuses"):
        await watched.tier.ping()


@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.freeze])
async def test_a_server_that_is_away_costs_what_it_holds(
    make_tier: MakeTier, sharded: Sharded, fault: Callable[[RedisServer], None]
) -> None:
    """One without a replica: two thirds go on being hits, at full speed, for as long as it lasts."""
    watched = make_tier(sharded.url, **QUICK)
    await fill(watched.tier)
    lonely = sharded.servers[1]
    theirs = [n for n in range(COUNT) if sharded.holder(watched.tier.build_key(f"p:{n}")) is lonely]
    assert theirs
    await asyncio.to_thread(fault, lonely)
    await found(watched.tier)
    for _ in range(20):
        started = time.monotonic()
        assert await found(watched.tier) == [n for n in range(COUNT) if n not in theirs]
        assert time.monotonic() - started < TIMEOUT_S + SLACK_S
    assert not watched.tier.is_up
    await asyncio.to_thread(sharded.mend)
    await all_found(watched.tier)
    assert watched.tier.is_up


@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.freeze])
async def test_a_failover_under_load_fails_no_call_and_is_noticed(
    make_tier: MakeTier, sharded: Sharded, fault: Callable[[RedisServer], None]
) -> None:
    """The replica takes over, is found, and serves what it had copied."""
    watched = make_tier(sharded.url, **QUICK)
    await fill(watched.tier)
    first = sharded.servers[0] if sharded.servers[0].info("replication")["role"] == "master" else sharded.servers[-1]
    keys = [watched.tier.build_key(f"p:{n}") for n in range(COUNT)]
    key = next(key for key in keys if sharded.holder(key) is first)
    async with load_on(watched.tier, range(0, COUNT, 3)):
        await asyncio.to_thread(fault, first)
        other = next(server for server in (sharded.servers[0], sharded.servers[-1]) if server is not first)
        await asyncio.to_thread(until, lambda: other.info("replication")["role"] == "master")
        await all_found(watched.tier)
        assert other.command("EXISTS", key) == 1
    await asyncio.to_thread(sharded.mend)
    await all_found(watched.tier)


async def test_a_slot_that_moves_is_followed(make_tier: MakeTier, sharded: Sharded) -> None:
    watched = make_tier(sharded.url, timeout_s=5.0, pause_s=0.05)
    await fill(watched.tier)
    key = watched.tier.build_key("p:7")
    source, target = sharded.holder(key), sharded.servers[1]
    if target is source:
        target = sharded.servers[2]
    slot, name = source.command("CLUSTER KEYSLOT", key), target.command("CLUSTER MYID")
    assert isinstance(slot, int)
    assert isinstance(name, bytes)
    source.command("DEL", key)
    for server in [target, source, *sharded.servers]:
        if server.info("replication")["role"] == "master":
            server.command("CLUSTER", "SETSLOT", slot, "NODE", name)
    assert await watched.tier.get("p:7") is None
    assert RedisFailure.MOVED in watched.troubles
    while await watched.tier.get("p:7") is None:
        assert len(await found(watched.tier)) >= COUNT - 1
        await watched.tier.set("p:7", picture(7), 60.0)
    assert target.command("EXISTS", key) == 1
    assert set(watched.troubles) == {RedisFailure.MOVED}


async def test_leases_and_news_work_across_servers(make_tier: MakeTier, sharded: Sharded) -> None:
    """A lease lies beside its entry, and what is published on one server is heard on all."""
    clusters = []
    listening = []
    for _ in range(3):
        tier = make_tier(sharded.url, timeout_s=10.0).tier
        await tier.ping()
        pubsub = PubSubChannel(tier.connections, tier.namespace)
        listening.append(asyncio.create_task(pubsub.listen()))
        while not pubsub.is_heard:  # noqa: ASYNC110 - the subscription says so in its own time
            await asyncio.sleep(0.001)
        clusters.append(
            DistributedSingleflight(Leases(tier.connections, pubsub, "thumb-proxy"), pubsub, tier.build_key, tier.seal)
        )
    loads: list[str] = []
    opened = asyncio.Event()

    async def bring(cluster: DistributedSingleflight, key: str) -> str:
        async def find(received: str) -> str | None:
            return received or None

        async def load() -> str:
            loads.append(key)
            await opened.wait()
            return key

        return await cluster.share(text_loader(key, find, load, kept_s=60.0))

    keys = [f"g:{number}" for number in range(12)]
    brought = asyncio.gather(*(bring(cluster, key) for cluster in clusters for key in keys))
    for key in keys:
        place = tier.build_key(key)
        name = f"thumb-proxy:lease:{{{place}}}"
        while not str(sharded.holder(place).command("GET", name)).endswith("!'"):  # noqa: ASYNC110 - others wait
            await asyncio.sleep(0.001)
    started = time.monotonic()
    opened.set()
    outcomes = await brought
    assert time.monotonic() - started < SLACK_S
    assert outcomes == keys * 3
    assert sorted(loads) == sorted(keys)
    for key in keys:
        place = tier.build_key(key)
        assert sharded.holder(place).command("GET", place) == key.encode()
        assert sharded.holder(f"thumb-proxy:lease:{{{place}}}") is sharded.holder(place)
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)


async def test_a_lease_of_a_server_that_is_away_is_nobody_s(make_tier: MakeTier, sharded: Sharded) -> None:
    """Whoever wants it works alone; leases elsewhere are as before."""
    tier = make_tier(sharded.url, **QUICK).tier
    await tier.ping()
    pubsub = PubSubChannel(tier.connections, tier.namespace)
    leases = Leases(tier.connections, pubsub, "thumb-proxy")
    keys = [tier.build_key(f"g:{n}") for n in range(COUNT)]
    lonely = sharded.servers[1]
    away = [sharded.holder(key) is lonely for key in keys]
    await asyncio.to_thread(lonely.kill)

    async def held(key: str) -> LeaseHolder:
        async with leases.attempt(key) as lease:
            return lease.held

    outcomes = [await held(key) for key in keys]
    assert outcomes == [LeaseHolder.UNKNOWN if gone else LeaseHolder.MINE for gone in away]
