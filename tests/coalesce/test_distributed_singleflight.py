"""One flight over all replicas: who leads, who hears of it, and who takes over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from pydantic import SecretStr

from proxy.cache.redis_tier import RedisTier
from proxy.coalesce.distributed_singleflight import DistributedSingleflight
from proxy.coalesce.local_singleflight import LocalSingleflight
from proxy.domain.value_seal import ValueSeal
from proxy.redis import leases as lease_module
from proxy.redis import pubsub as news_module
from proxy.redis.lease import LeaseHolder
from proxy.redis.leases import NOT_STORED, Leases
from proxy.redis.pubsub import PubSubChannel
from proxy.settings import RedisSettings
from tests.conftest import StartRedis
from tests.harness.loaders import text_loader
from tests.harness.redis_server import RedisServer
from tests.harness.relay import Relay

KEY = "g:1"
HEARD_S, POLL_S = 1.0, 5.0
"""Those who are told have it long before they would look for it themselves."""
AT_ONCE_S = 10.0
"""Long for a busy machine, and shorter than others are waited for where their leases do not run out."""


class Replica:
    """A process of its own, as far as Redis can tell."""

    def __init__(self, tier: RedisTier, pubsub: PubSubChannel) -> None:
        self.tier = tier
        self.pubsub = pubsub
        self.cluster = DistributedSingleflight(
            Leases(tier.connections, pubsub, "thumb-proxy"), pubsub, tier.build_key, tier.seal
        )
        self.loads = 0
        self.looks: list[str] = []
        self.outcome: str | Exception = "outcome"
        self.gate = asyncio.Event()
        self.gate.set()
        self.began = asyncio.Event()
        self.ended_at = 0.0

    async def find(self, received: str) -> str | None:
        """Take what was left, or look in Redis."""
        self.looks.append(received)
        return received or (await self.tier.connections.read(self.tier.build_key(KEY)) or b"").decode() or None

    async def load(self) -> str:
        """Do the work when the test allows it."""
        self.loads += 1
        self.began.set()
        await self.gate.wait()
        self.ended_at = time.monotonic()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def share(self, *, tells: bool = True, kept_s: float = 60.0) -> asyncio.Task[tuple[str, float]]:
        """Begin to want the outcome; give it and when it was there."""

        async def wait() -> tuple[str, float]:
            outcome = await self.cluster.share(text_loader(KEY, self.find, self.load, tells=tells, kept_s=kept_s))
            return outcome, time.monotonic()

        return asyncio.create_task(wait())


@asynccontextmanager
async def replica(url: str, **settings: float) -> AsyncIterator[Replica]:
    tier = RedisTier.from_settings(
        RedisSettings.model_validate({"url": SecretStr(url), "timeout_s": 5.0, **settings}), "http://cloudreve:5212"
    )
    pubsub = PubSubChannel(tier.connections, tier.namespace)
    listening = asyncio.create_task(pubsub.listen())
    try:
        yield Replica(tier, pubsub)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await tier.aclose()


@pytest.fixture
async def replicas(redis_server: RedisServer) -> AsyncIterator[list[Replica]]:
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(replica(redis_server.url)) for _ in range(3)]
        await until(lambda: all(one.pubsub.is_heard for one in made))
        yield made


async def until(condition: Callable[[], bool]) -> None:
    """Try again in short steps until it holds; the test's own time limit ends it."""
    while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
        await asyncio.sleep(0.001)


async def waits(server: RedisServer) -> None:
    """Wait until somebody waits for the leader."""
    name = f"thumb-proxy:lease:{{{(await key_of(server))}}}"
    while not str(server.command("GET", name)).endswith("!'"):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)


async def key_of(server: RedisServer) -> str:
    """Wait for a lease, and give the name of what it is about."""
    while True:
        found = server.command("KEYS", "thumb-proxy:lease:*")
        assert isinstance(found, list)
        if found:
            return str(found[0].decode().partition("{")[2].rstrip("}"))
        await asyncio.sleep(0.001)


def loads(replicas: list[Replica]) -> list[int]:
    return [one.loads for one in replicas]


@pytest.mark.parametrize("tells", [True, False])
async def test_one_does_the_work_and_all_have_the_outcome(
    replicas: list[Replica], redis_server: RedisServer, tells: bool
) -> None:
    """From the message, or from Redis, where it stands before anybody hears of it."""
    for one in replicas:
        one.gate.clear()
    tasks = [one.share(tells=tells) for one in replicas for _ in range(10)]
    await waits(redis_server)
    for one in replicas:
        one.gate.set()
    assert {outcome for outcome, _ in await asyncio.gather(*tasks)} == {"outcome"}
    assert sum(loads(replicas)) == 1


@pytest.mark.parametrize("kept_s", [60.0, 0.0])
async def test_those_who_wait_hear_at_once(
    replicas: list[Replica], redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, kept_s: float
) -> None:
    monkeypatch.setattr(news_module, "POLL_S", POLL_S)
    leader, *others = replicas
    delays = []
    for _ in range(20):
        leader.gate.clear()
        leader.began.clear()
        first = leader.share(kept_s=kept_s)
        await leader.began.wait()
        waiting = [one.share(kept_s=kept_s) for one in others]
        await waits(redis_server)
        leader.gate.set()
        outcomes = await asyncio.gather(first, *waiting)
        delays += [at - leader.ended_at for _, at in outcomes[1:]]
        await until(lambda: redis_server.command("DEL", leader.tier.build_key(KEY)) in (0, 1))
    assert loads(replicas) == [20, 0, 0]
    assert sorted(delays)[len(delays) // 2] < HEARD_S


async def test_the_leader_waits_for_nothing(redis_server: RedisServer) -> None:
    """It has the outcome while Redis is still to be told."""
    async with Relay(redis_server.port) as relay, replica(f"redis://127.0.0.1:{relay.port}") as leader:
        leader.gate.clear()
        task = leader.share()
        await leader.began.wait()
        relay.hold()
        leader.gate.set()
        assert (await task)[0] == "outcome"
        relay.let_go()


async def test_work_done_before_the_lease_was_taken_is_not_repeated(
    replicas: list[Replica], redis_server: RedisServer
) -> None:
    """Between looking and leading another may have landed."""
    redis_server.command("SET", replicas[0].tier.build_key(KEY), b"theirs")
    assert (await replicas[0].share())[0] == "theirs"
    assert (replicas[0].loads, replicas[0].looks) == (0, ["theirs"])


@pytest.fixture
def lasting_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "_LEASE_MS", 60_000)


@pytest.mark.usefixtures("lasting_leases")
async def test_one_that_fails_is_succeeded_at_once(replicas: list[Replica], redis_server: RedisServer) -> None:
    leader, other, _ = replicas
    leader.outcome = ValueError("x")
    leader.gate.clear()
    first = leader.share()
    await leader.began.wait()
    second = other.share()
    await waits(redis_server)
    leader.gate.set()
    with pytest.raises(ValueError, match="x"):
        await first
    outcome, at = await second
    assert outcome == "outcome"
    assert at - leader.ended_at < AT_ONCE_S
    assert loads(replicas) == [1, 1, 0]


@pytest.mark.usefixtures("lasting_leases")
async def test_one_that_is_cancelled_is_succeeded_at_once(replicas: list[Replica], redis_server: RedisServer) -> None:
    leader, other, _ = replicas
    leader.gate.clear()
    first = leader.share()
    await leader.began.wait()
    second = other.share()
    await waits(redis_server)
    started = time.monotonic()
    first.cancel()
    _, at = await second
    assert at - started < AT_ONCE_S


async def test_one_that_has_died_is_succeeded_when_its_lease_runs_out(
    replicas: list[Replica], redis_server: RedisServer
) -> None:
    """It is cut off in the middle, without a word; of the others one takes over and tells the rest."""
    async with (
        Relay(redis_server.port) as relay,
        replica(f"redis://127.0.0.1:{relay.port}", timeout_s=0.1, pause_s=60.0) as leader,
    ):
        leader.gate.clear()
        first = leader.share()
        await leader.began.wait()
        others = [one.share() for one in replicas]
        await waits(redis_server)
        relay.shut()
        started = time.monotonic()
        outcomes = await asyncio.gather(*others)
        assert max(at for _, at in outcomes) - started < AT_ONCE_S
        assert sum(loads(replicas)) == 1
        leader.outcome = "late"
        leader.gate.set()
        assert (await first)[0] == "late"
    assert redis_server.command("GET", replicas[0].tier.build_key(KEY)) == b"outcome"


async def test_one_that_stands_still_for_longer_than_its_lease_does_no_harm(
    replicas: list[Replica], redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its successor's lease and outcome stay; it has its own."""
    monkeypatch.setattr(lease_module, "RENEW_S", 60.0)
    leader, other, third = replicas
    for one in (leader, other):
        one.gate.clear()
    first = leader.share()
    await leader.began.wait()
    redis_server.command("DEL", f"thumb-proxy:lease:{{{await key_of(redis_server)}}}")  # as if it had run out
    second = other.share()
    await other.began.wait()
    waiting = third.share()
    await waits(redis_server)
    leader.outcome = "late"
    leader.gate.set()
    assert (await first)[0] == "late"
    await leader.tier.exists("x")  # what it had to say has been said
    assert not waiting.done()
    other.gate.set()
    assert [(await task)[0] for task in (second, waiting)] == ["outcome"] * 2
    await other.tier.exists("x")
    assert redis_server.command("GET", leader.tier.build_key(KEY)) == b"outcome"


@pytest.mark.usefixtures("lasting_leases")
async def test_while_nothing_is_heard_it_is_looked_for(redis_server: RedisServer) -> None:
    async with replica(redis_server.url) as leader, replica(redis_server.url) as deaf:
        await until(lambda: leader.pubsub.is_heard and deaf.pubsub.is_heard)
        leader.gate.clear()
        first = leader.share()
        await leader.began.wait()
        second = deaf.share()
        await waits(redis_server)
        vars(deaf.pubsub)["_readers"].clear()  # whatever comes reaches nobody
        leader.gate.set()
        (_, _), (outcome, at) = await first, await second
        assert outcome == "outcome"
        assert at - leader.ended_at < AT_ONCE_S
        assert deaf.loads == 0


async def test_a_request_at_the_very_end_of_a_load_does_not_repeat_it(replicas: list[Replica]) -> None:
    """However the steps fall: many rounds in which others come while the leader ends."""
    leader, *others = replicas
    for number in range(60):
        first = leader.share()
        for _ in range(number % 12):
            await asyncio.sleep(0)
        late = [one.share() for one in others]
        assert {outcome for outcome, _ in await asyncio.gather(first, *late)} == {"outcome"}
        assert sum(loads(replicas)) == 1
        for one in replicas:
            one.loads = 0
        await leader.tier.connections.ask(0, KEY, "UNLINK", leader.tier.build_key(KEY))
        await until_idle(leader)


async def until_idle(one: Replica) -> None:
    name = one.tier.build_key(KEY)
    while await one.tier.connections.ask(0, name, "EXISTS", f"thumb-proxy:lease:{{{name}}}"):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)
    await one.tier.connections.ask(0, name, "UNLINK", name)


@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.freeze])
async def test_while_redis_is_away_each_does_its_own(start_redis: StartRedis, fault: object) -> None:
    """Processes that begin then, and those that have been waiting."""
    server = start_redis()
    assert callable(fault)
    async with replica(server.url, timeout_s=0.2) as leader, replica(server.url, timeout_s=0.2) as other:
        await until(lambda: leader.pubsub.is_heard and other.pubsub.is_heard)
        leader.gate.clear()
        first = leader.share()
        await leader.began.wait()
        second = other.share()
        await waits(server)
        await asyncio.to_thread(fault, server)
        assert (await second)[0] == "outcome"
        third = other.share()
        assert (await third)[0] == "outcome"
        assert other.loads == 2
        leader.gate.set()
        assert (await first)[0] == "outcome"


async def test_every_replica_loads_an_entry_that_redis_will_not_store(start_redis: StartRedis) -> None:
    server = start_redis(**{"maxmemory": "0", "maxmemory-policy": "noeviction"})
    async with AsyncExitStack() as stack:
        made = [await stack.enter_async_context(replica(server.url)) for _ in range(3)]
        await until(lambda: all(one.pubsub.is_heard for one in made))
        leader, *others = made
        leader.gate.clear()
        first = leader.share(tells=False)
        await leader.began.wait()
        for one in others:
            one.gate.clear()
        waiting = [one.share(tells=False) for one in others]
        await waits(server)
        server.command("CONFIG", "SET", "maxmemory", "1")
        leader.gate.set()
        await first
        await asyncio.gather(*(one.began.wait() for one in others))
        for one in others:
            one.gate.set()
        await asyncio.gather(*waiting)
        assert loads(made) == [1, 1, 1]


class Turns:
    """Work that is done in turns, each of which ends when the test says so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    def take(self, one: Replica, name: str, *, opens: bool) -> asyncio.Task[bool]:
        """Wait for a turn and work."""
        self.ends[name] = asyncio.Event()

        async def work() -> bool:
            self.begun.append(name)
            await self.ends[name].wait()
            return opens

        return asyncio.create_task(one.cluster.take_turns("t:1", work, bool))


async def test_turns_are_taken_one_after_the_other(replicas: list[Replica], redis_server: RedisServer) -> None:
    turns = Turns()
    tasks = [turns.take(one, name, opens=False) for one, name in zip(replicas, "abc", strict=True)]
    for number in range(1, 4):
        await until(lambda number=number: len(turns.begun) == number)  # type: ignore[misc]
        if number < 3:
            await waits(redis_server)
        assert len(turns.begun) == number
        turns.ends[turns.begun[-1]].set()
    assert await asyncio.gather(*tasks) == [False] * 3


async def test_an_outcome_that_opens_the_way_opens_it_for_all(
    replicas: list[Replica], redis_server: RedisServer
) -> None:
    turns = Turns()
    first = turns.take(replicas[0], "a", opens=True)
    await until(lambda: turns.begun == ["a"])
    others = [turns.take(one, name, opens=True) for one, name in zip(replicas[1:], "bc", strict=True)]
    await waits(redis_server)
    assert turns.begun == ["a"]
    turns.ends["a"].set()
    await until(lambda: len(turns.begun) == 3)
    for end in turns.ends.values():
        end.set()
    assert await asyncio.gather(first, *others) == [True] * 3


async def test_a_turn_goes_with_the_lead(replicas: list[Replica], redis_server: RedisServer) -> None:
    """And is free again for whoever leads elsewhere, when it was not needed after all."""
    leader, other, _ = replicas
    turns = Turns()

    async def find(received: str) -> str | None:
        return received or None

    async def load() -> str:
        await turns.take(leader, "a", opens=False)
        return "outcome"

    def share(one: Replica) -> asyncio.Task[str]:
        return asyncio.create_task(one.cluster.share(text_loader(KEY, find, load), turn="t:1"))

    first = share(leader)
    await until(lambda: turns.begun == ["a"])
    second, third = share(other), turns.take(other, "b", opens=False)
    await waits(redis_server)
    assert turns.begun == ["a"]
    turns.ends["a"].set()
    await until(lambda: turns.begun == ["a", "b"])
    turns.ends["b"].set()
    assert (await first, await second, await third) == ("outcome", "outcome", False)
    redis_server.command("SET", leader.tier.build_key(KEY), "there already")
    assert await share(leader) == "there already"
    assert await share(other) == "there already"
    await until(lambda: redis_server.command("KEYS", "thumb-proxy:lease:*") == [])


async def test_turns_pass_on_when_one_fails(replicas: list[Replica], redis_server: RedisServer) -> None:
    began, fails = asyncio.Event(), asyncio.Event()

    async def fail() -> str:
        began.set()
        await fails.wait()
        raise ValueError("x")

    async def work() -> str:
        return "done"

    first = asyncio.create_task(replicas[0].cluster.take_turns("t:1", fail, bool))
    await began.wait()
    second = asyncio.create_task(replicas[1].cluster.take_turns("t:1", work, bool))
    await waits(redis_server)
    fails.set()
    assert await second == "done"
    with pytest.raises(ValueError, match="x"):
        await first


async def test_nothing_is_left_over(replicas: list[Replica], redis_server: RedisServer) -> None:
    """Neither a lease in Redis nor a reader, whatever way it ended."""
    leader, other, _ = replicas
    leader.outcome = ValueError("x")
    leader.gate.clear()
    tasks = [leader.share(), other.share(), other.share()]
    await leader.began.wait()
    await waits(redis_server)
    tasks[1].cancel()
    leader.gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: redis_server.command("KEYS", "thumb-proxy:lease:*") == [])
    assert [vars(one.pubsub)["_readers"] for one in replicas] == [{}, {}, {}]


async def test_alone_there_is_nobody_to_share_with() -> None:

    async def load() -> str:
        return "outcome"

    async def find(_: str) -> str | None:
        raise AssertionError("there is nowhere to look")

    assert await LocalSingleflight().share(text_loader(KEY, find, load)) == "outcome"
    assert await LocalSingleflight().take_turns(KEY, load, bool) == "outcome"


def test_looking_often_enough_is_part_of_the_promise() -> None:
    assert lease_module.LEASE_S + news_module.POLL_S < 3.0


async def test_an_outcome_that_redis_did_not_store_is_loaded_at_once_by_those_who_hear_so(
    redis_server: RedisServer,
) -> None:
    """Whoever leads meanwhile; each commits what it has loaded."""
    async with replica(redis_server.url) as one:
        leases = Leases(one.tier.connections, one.pubsub, "thumb-proxy")
        one.cluster = DistributedSingleflight(leases, one.pubsub, one.tier.build_key, one.tier.seal, 3600.0)
        await until(lambda: one.pubsub.is_heard)
        name = one.tier.build_key(KEY)
        redis_server.command("SET", f"thumb-proxy:lease:{{{name}}}", "somebody", "PX", 2000)
        task = one.share()
        await waits(redis_server)
        redis_server.command("PUBLISH", one.pubsub.channel, name.encode() + b" " + NOT_STORED)
        while not task.done():
            redis_server.command("SET", f"thumb-proxy:lease:{{{name}}}", "somebody else", "PX", 2000)
            await asyncio.sleep(0)
        assert (await task)[0] == "outcome"
        await until(lambda: redis_server.command("GET", name) == b"outcome")


@pytest.mark.parametrize("noise", [b"", b"+junk", b"-"])
async def test_a_lease_that_a_stranger_renews_for_ever_is_waited_for_so_long_and_no_longer(
    redis_server: RedisServer, noise: bytes
) -> None:
    """Whatever is told meanwhile; then everybody does the work."""
    async with replica(redis_server.url) as one:
        one.cluster = DistributedSingleflight(
            Leases(one.tier.connections, one.pubsub, "thumb-proxy"),
            one.pubsub,
            one.tier.build_key,
            ValueSeal(["k" * 32]),
            0.5,
        )
        await until(lambda: one.pubsub.is_heard)
        name = one.tier.build_key(KEY)
        task = one.share()
        while not task.done():
            redis_server.command("SET", f"thumb-proxy:lease:{{{name}}}", "somebody", "PX", 2000)
            if noise:
                redis_server.command("PUBLISH", one.pubsub.channel, name.encode() + b" " + noise)
            await asyncio.sleep(0)
        assert (await task)[0] == "outcome"
        turn = asyncio.create_task(one.cluster.take_turns(KEY, one.load, bool))
        while not turn.done():
            redis_server.command("SET", f"thumb-proxy:lease:{{{name}}}", "somebody", "PX", 2000)
            await asyncio.sleep(0)
        assert await turn == "outcome"


async def test_one_replica_leads_in_what_takes_long_until_it_leaves(replicas: list[Replica]) -> None:
    first, second = replicas[0].cluster, replicas[1].cluster
    async with first.lead("w:1") as one, second.lead("w:1") as other, second.lead("w:2") as elsewhere:
        assert [one, other, elsewhere] == [LeaseHolder.MINE, LeaseHolder.OTHERS, LeaseHolder.MINE]
    held = LeaseHolder.OTHERS
    while held is LeaseHolder.OTHERS:  # nobody waits for Redis to hear that the first has left
        async with second.lead("w:1") as held:
            assert held is not LeaseHolder.UNKNOWN


async def test_alone_a_process_leads() -> None:
    """There is nobody else."""
    async with LocalSingleflight().lead("w:1") as held:
        assert held is LeaseHolder.MINE
