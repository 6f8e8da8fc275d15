"""Leases: one holder at a time, however it comes and goes, and news only for those who wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.coalesce.distributed_singleflight import GRACE_S
from proxy.domain.shared_write import SharedWrite
from proxy.redis import leases as module
from proxy.redis.failures import RedisFailure
from proxy.redis.lease import Lease, LeaseHolder
from proxy.redis.leases import NOT_STORED, STORED, Leases
from proxy.redis.pubsub import POLL_S, PubSubChannel
from tests.cache.conftest import MakeTier, Watched
from tests.conftest import StartRedis
from tests.harness.loaders import committed
from tests.harness.redis_server import RedisServer
from tests.harness.relay import Relay

KEY = "thumb-proxy:v2:01234567:g:1"
LEASE = f"thumb-proxy:lease:{{{KEY}}}"
CHANNEL = "thumb-proxy:news"
SOON_MS = 1000
"""Less than a renewal gives, and enough for a busy machine to come to one."""


def leases_of(watched: Watched) -> Leases:
    return Leases(watched.tier.connections, PubSubChannel(watched.tier.connections, "thumb-proxy"), "thumb-proxy")


@pytest.fixture
def mine(make_tier: MakeTier, redis_server: RedisServer) -> Leases:
    return leases_of(make_tier(redis_server.url, timeout_s=10.0))


@pytest.fixture
def theirs(make_tier: MakeTier, redis_server: RedisServer) -> Leases:
    return leases_of(make_tier(redis_server.url, timeout_s=10.0))


async def held(leases: Leases) -> LeaseHolder:
    """Try to take the lease and let it go again."""
    async with leases.attempt(KEY) as lease:
        return lease.held


async def gone(server: RedisServer, key: str = LEASE) -> None:
    while server.command("EXISTS", key):  # noqa: ASYNC110 - Redis tells nobody
        await asyncio.sleep(0.001)


async def there(server: RedisServer, key: str = LEASE) -> None:
    while not server.command("EXISTS", key):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)


@asynccontextmanager
async def heard(server: RedisServer, count: int) -> AsyncIterator[list[bytes]]:
    """Hear what is published meanwhile; at the end wait for so many messages, and see that there are no more."""
    with server.client() as client:
        pubsub = client.pubsub()
        pubsub.subscribe(CHANNEL)
        assert pubsub.get_message(timeout=5.0) is not None
        messages: list[bytes] = []
        yield messages
        while message := await asyncio.to_thread(pubsub.get_message, timeout=5.0 if len(messages) < count else 0.05):
            messages.append(message["data"])
        pubsub.close()


async def test_one_at_a_time_holds_it(mine: Leases, theirs: Leases, redis_server: RedisServer) -> None:
    async with mine.attempt(KEY) as lease:
        assert lease.held is LeaseHolder.MINE
        assert await held(theirs) is LeaseHolder.OTHERS
        assert await held(mine) is LeaseHolder.OTHERS
        assert 0 < await theirs.remaining_s(KEY) <= module.LEASE_S
    await gone(redis_server)
    assert await theirs.remaining_s(KEY) == 0
    assert await held(theirs) is LeaseHolder.MINE


async def test_the_value_under_the_key_comes_with_the_lease(mine: Leases, redis_server: RedisServer) -> None:
    """It may have been put there since one looked."""
    async with mine.attempt(KEY) as lease:
        assert lease.found == b""
    await gone(redis_server)
    redis_server.command("SET", KEY, b"an entry")
    async with mine.attempt(KEY) as lease:
        assert lease.found == b"an entry"


async def test_something_else_than_an_entry_is_nothing(mine: Leases, redis_server: RedisServer) -> None:
    """A list, put there by somebody else."""
    redis_server.command("LPUSH", KEY, "x")
    async with mine.attempt(KEY) as lease:
        assert (lease.held, lease.found) == (LeaseHolder.MINE, b"")


async def test_leaving_the_block_waits_for_nothing(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """The visitor has the answer while Redis is still being told."""
    async with Relay(redis_server.port) as relay:
        watched = make_tier(f"redis://127.0.0.1:{relay.port}", timeout_s=10.0)
        async with asyncio.timeout(5), leases_of(watched).attempt(KEY) as lease:
            assert lease.held is LeaseHolder.MINE
            relay.hold()
        relay.let_go()
        await gone(redis_server)
        await watched.tier.aclose()


async def test_the_outcome_stands_there_before_anybody_hears(
    mine: Leases, theirs: Leases, redis_server: RedisServer
) -> None:
    async with heard(redis_server, 1) as messages, mine.attempt(KEY) as lease:
        assert await held(theirs) is LeaseHolder.OTHERS
        lease.message, lease.commit = b"told", committed("an entry")
    assert messages == [KEY.encode() + b" " + STORED + b"told"]
    assert redis_server.command("GET", KEY) == b"an entry"
    remaining_ms = redis_server.command("PTTL", KEY)
    assert isinstance(remaining_ms, int)
    assert 50_000 < remaining_ms <= 60_000
    assert redis_server.command("EXISTS", LEASE) == 0


async def test_nobody_is_told_while_nobody_waits(mine: Leases, redis_server: RedisServer) -> None:
    """Every replica would have to read it."""
    async with heard(redis_server, 0) as messages:
        for _ in range(3):
            async with mine.attempt(KEY) as lease:
                lease.message = b"told"
            await gone(redis_server)
    assert messages == []


async def test_work_that_failed_leaves_nothing_and_lets_the_next_begin(
    mine: Leases, theirs: Leases, redis_server: RedisServer
) -> None:

    async def fail() -> None:
        async with mine.attempt(KEY):
            assert await held(theirs) is LeaseHolder.OTHERS
            raise ValueError("x")

    async with heard(redis_server, 1) as messages:
        with pytest.raises(ValueError, match="x"):
            await fail()
        await gone(redis_server)
        assert await held(theirs) is LeaseHolder.MINE
    assert messages == [KEY.encode() + b" "]


async def test_a_write_that_cannot_be_made_is_work_that_has_failed(mine: Leases, redis_server: RedisServer) -> None:
    """The next may begin at once, and those who wait are told of nothing."""

    def commit() -> SharedWrite:
        raise ValueError("no bytes")

    async def work() -> None:
        async with mine.attempt(KEY) as lease:
            lease.message, lease.commit = b"told", commit

    with pytest.raises(ValueError, match="no bytes"):
        await work()
    assert await held(mine) is LeaseHolder.MINE
    assert redis_server.command("EXISTS", KEY) == 0


@pytest.mark.parametrize("ttl_s", [0.0, -5.0, 0.0004])
async def test_an_outcome_without_a_time_to_live_is_told_and_not_stored(
    mine: Leases, theirs: Leases, redis_server: RedisServer, ttl_s: float
) -> None:
    async with heard(redis_server, 1) as messages, mine.attempt(KEY) as lease:
        assert await held(theirs) is LeaseHolder.OTHERS
        lease.message, lease.commit = b"told", committed("an entry", ttl_s)
    assert messages == [KEY.encode() + b" " + STORED + b"told"]
    assert redis_server.command("EXISTS", KEY) == 0


async def test_an_outcome_that_redis_will_not_store_is_told_as_such(
    make_tier: MakeTier, start_redis: StartRedis
) -> None:
    """Whom the message does not serve must not look for it."""
    server = start_redis(**{"maxmemory": "0", "maxmemory-policy": "noeviction"})
    mine, theirs = (leases_of(make_tier(server.url, timeout_s=10.0)) for _ in range(2))
    async with heard(server, 1) as messages, mine.attempt(KEY) as lease:
        assert await held(theirs) is LeaseHolder.OTHERS
        server.command("CONFIG", "SET", "maxmemory", "1")
        lease.message, lease.commit = b"told", committed("an entry")
    assert messages == [KEY.encode() + b" " + NOT_STORED + b"told"]
    assert server.command("EXISTS", LEASE, KEY) == 0, "it was let go all the same"


async def test_a_lease_is_renewed_while_the_work_goes_on(
    mine: Leases, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far beyond its own time, though others have marked it."""
    monkeypatch.setattr(module, "RENEW_S", 0.005)
    async with mine.attempt(KEY):
        for mark in (b"", b"!"):
            token = redis_server.command("GET", LEASE)
            assert isinstance(token, bytes)
            redis_server.command("SET", LEASE, token.rstrip(b"!") + mark, "PX", SOON_MS)
            while int(str(redis_server.command("PTTL", LEASE))) <= SOON_MS:  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.001)
        assert redis_server.command("EXISTS", LEASE) == 1


async def test_a_lease_that_was_lost_is_not_renewed_let_go_or_spoken_for(
    mine: Leases, theirs: Leases, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that stood still for longer than its lease comes back to another leader."""
    monkeypatch.setattr(module, "RENEW_S", 0.005)

    async def come_late() -> None:
        async with mine.attempt(KEY) as late:
            redis_server.command("DEL", LEASE)
            redis_server.command("CONFIG", "RESETSTAT")
            taken.set()
            await succeeded.wait()
            while redis_server.info("commandstats")["cmdstat_eval"]["calls"] < 2:  # noqa: ASYNC110 - it tries to renew
                await asyncio.sleep(0.001)
            late.message, late.commit = b"told", committed("an older entry")

    taken, succeeded = asyncio.Event(), asyncio.Event()
    async with heard(redis_server, 0) as messages:
        late = asyncio.create_task(come_late())
        await taken.wait()
        async with theirs.attempt(KEY) as successor:
            assert successor.held is LeaseHolder.MINE
            token = redis_server.command("GET", LEASE)
            succeeded.set()
            await late
            await mine.remaining_s(KEY)  # goes the same way as the release, after it
            assert redis_server.command("GET", LEASE) == token
    assert redis_server.command("EXISTS", KEY) == 0
    assert messages == []


async def test_a_late_holder_without_a_successor_commits(mine: Leases, redis_server: RedisServer) -> None:
    """Those who waited are about to look for themselves; what is known serves them."""
    async with heard(redis_server, 1) as messages, mine.attempt(KEY) as lease:
        redis_server.command("DEL", LEASE)
        lease.message, lease.commit = b"told", committed("an entry")
    assert messages == [KEY.encode() + b" " + STORED + b"told"]
    assert redis_server.command("GET", KEY) == b"an entry"


async def test_a_late_leader_replaces_nothing_that_its_successor_has_left(
    mine: Leases, theirs: Leases, redis_server: RedisServer
) -> None:
    """The successor has come and gone: its entry is the newer one, and nobody hears of the older."""
    async with heard(redis_server, 0) as messages, mine.attempt(KEY) as late:
        redis_server.command("DEL", LEASE)
        async with theirs.attempt(KEY) as successor:
            successor.message, successor.commit = b"told", committed("a newer entry")
        await gone(redis_server)
        late.message, late.commit = b"told", committed("an older entry")
    await mine.remaining_s(KEY)  # goes the same way as the release, after it
    assert messages == []
    assert redis_server.command("GET", KEY) == b"a newer entry"


async def test_a_holder_that_dies_is_outlived_by_its_lease_for_less_than_three_seconds(
    make_tier: MakeTier, theirs: Leases, redis_server: RedisServer
) -> None:
    """It says nothing any more: neither renewal nor release."""
    async with Relay(redis_server.port) as relay:
        watched = make_tier(f"redis://127.0.0.1:{relay.port}", timeout_s=1.0, pause_s=60.0)
        async with leases_of(watched).attempt(KEY) as lease:
            assert lease.held is LeaseHolder.MINE
            relay.cut()
            assert 0 < await theirs.remaining_s(KEY) <= module.LEASE_S
            assert module.LEASE_S + POLL_S + GRACE_S < 3.0, "until somebody looks"
            redis_server.command("PEXPIRE", LEASE, 1)
            await gone(redis_server)
            assert await held(theirs) is LeaseHolder.MINE


@pytest.mark.parametrize("steps", range(12))
async def test_cancelled_at_any_step_it_leaves_no_lease_behind(
    mine: Leases, theirs: Leases, redis_server: RedisServer, steps: int
) -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with mine.attempt(KEY):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    await held(theirs)
    await gone(redis_server)
    assert await held(theirs) is LeaseHolder.MINE


async def test_cancelled_while_the_reply_is_on_its_way_it_leaves_no_lease_behind(
    make_tier: MakeTier, redis_server: RedisServer
) -> None:
    """Nor when it is so late that nobody waits for it any more."""
    async with Relay(redis_server.port) as relay:
        watched = make_tier(f"redis://127.0.0.1:{relay.port}", timeout_s=0.3)
        for leave in ("cancelled", "late"):
            await watched.tier.ping()
            relay.hold()
            task = asyncio.create_task(held(leases_of(watched)))
            await there(redis_server)
            await relay.holds()
            if leave == "cancelled":
                task.cancel()
                await asyncio.wait({task})
            else:
                assert await task is LeaseHolder.UNKNOWN
            assert redis_server.command("EXISTS", LEASE) == 1
            relay.let_go()
            await gone(redis_server)
        await watched.tier.aclose()


@pytest.mark.parametrize("fault", [RedisServer.kill, RedisServer.freeze])
async def test_while_redis_is_away_nobody_can_say(make_tier: MakeTier, start_redis: StartRedis, fault: object) -> None:
    """Not even that nobody else has it."""
    server = start_redis()
    watched = make_tier(server.url, timeout_s=0.1)
    leases = leases_of(watched)
    assert await held(leases) is LeaseHolder.MINE
    assert callable(fault)
    fault(server)
    async with leases.attempt(KEY) as lease:
        assert (lease.held, lease.found) == (LeaseHolder.UNKNOWN, b"")
    assert await leases.remaining_s(KEY) == 0


@pytest.mark.parametrize(
    "rules",
    [
        ("~thumb-proxy:*", "&*", "+mget", "+set", "+get", "+ping"),
        ("~thumb-proxy:v*", "&*", "+@all"),
        ("~thumb-proxy:*", "&*", "+@all", "-@scripting"),
        ("~thumb-proxy:*", "&*", "+@all", "-set"),
    ],
)
async def test_a_user_without_the_right_to_lead_knows_nothing(
    make_tier: MakeTier, start_redis: StartRedis, rules: tuple[str, ...]
) -> None:
    """Then everybody works alone; reading and writing go on."""
    server = start_redis()
    server.command("ACL", "SETUSER", "thumbs", "on", ">pw", *rules)
    watched = make_tier(f"redis://thumbs:pw@127.0.0.1:{server.port}")
    outcomes = [await held(leases_of(watched)) for _ in range(2)]
    assert outcomes[1] is LeaseHolder.UNKNOWN
    assert set(watched.troubles) == {RedisFailure.REFUSED}
    assert watched.tier.is_up


async def test_a_user_who_may_not_publish_leads_in_silence(make_tier: MakeTier, start_redis: StartRedis) -> None:
    """What was brought stands there, and the lease is let go."""
    server = start_redis()
    server.command("ACL", "SETUSER", "thumbs", "on", ">pw", "~*", "&*", "+@all", "-publish")
    watched = make_tier(f"redis://thumbs:pw@127.0.0.1:{server.port}")
    async with leases_of(watched).attempt(KEY) as lease:
        await held(leases_of(watched))
        lease.message, lease.commit = b"told", committed("an entry")
    await gone(server)
    assert server.command("GET", KEY) == b"an entry"
    assert watched.troubles == []


async def test_closing_lets_go(make_tier: MakeTier, redis_server: RedisServer) -> None:
    watched = make_tier(redis_server.url, timeout_s=10.0)
    async with leases_of(watched).attempt(KEY):
        pass
    await watched.tier.aclose()
    assert redis_server.command("EXISTS", LEASE) == 0


async def test_a_value_is_committed_without_a_lease_too(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """By a process that worked alone. One that lasts no time is not sent to Redis, which would refuse it."""
    watched = make_tier(redis_server.url, timeout_s=10.0)
    leases = leases_of(watched)
    leases.commit(f"{KEY}2", committed("not worth keeping", 0.0))
    leases.commit(KEY, committed("an entry"))
    await there(redis_server, KEY)
    assert redis_server.command("GET", KEY) == b"an entry"
    assert redis_server.command("EXISTS", f"{KEY}2") == 0
    await leases.remaining_s(KEY)  # goes the same way as the commits, after them
    assert watched.troubles == []


async def test_a_value_without_a_lease_replaces_none_that_stands(mine: Leases, redis_server: RedisServer) -> None:
    """Forced: another replica loads later, and stores its value first."""
    redis_server.command("SET", KEY, "a newer entry")
    mine.commit(KEY, committed("an older entry"))
    await mine.remaining_s(KEY)  # as above
    assert redis_server.command("GET", KEY) == b"a newer entry"


def test_a_lease_has_nothing_to_say_at_first() -> None:
    assert Lease(LeaseHolder.MINE) == Lease(LeaseHolder.MINE, b"", None, None)


async def test_a_prefetched_lease_is_taken_in_one_go_with_the_rest(
    mine: Leases, theirs: Leases, redis_server: RedisServer
) -> None:
    mine.prefetch(KEY)
    assert await mine.remaining_s("other") == 0
    assert redis_server.command("EXISTS", LEASE) == 1
    redis_server.command("CONFIG", "RESETSTAT")
    async with mine.attempt(KEY) as lease:
        assert lease.held is LeaseHolder.MINE
        assert "cmdstat_eval" not in redis_server.info("commandstats")
        assert await held(theirs) is LeaseHolder.OTHERS
    await gone(redis_server)


async def test_a_lease_that_was_prefetched_in_vain_is_given_back(
    mine: Leases, theirs: Leases, redis_server: RedisServer
) -> None:
    """Whether its reply has come or not; one that was never prefetched is not missed."""
    for has_come in (True, False):
        mine.prefetch(KEY)
        if has_come:
            await mine.remaining_s("other")
        mine.discard(KEY)
        mine.discard(KEY)
        await mine.remaining_s("other")
        await gone(redis_server)
        assert await held(theirs) is LeaseHolder.MINE
        await gone(redis_server)


async def test_a_lease_that_was_another_s_when_prefetched_may_be_free_by_now(
    mine: Leases, theirs: Leases, redis_server: RedisServer
) -> None:
    async with theirs.attempt(KEY):
        mine.prefetch(KEY)
        await mine.remaining_s("other")
    await gone(redis_server)
    assert await held(mine) is LeaseHolder.MINE


async def test_a_lease_that_was_prefetched_long_ago_counts_for_nothing(
    make_tier: MakeTier, theirs: Leases, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "RENEW_S", -1.0)
        mine = leases_of(make_tier(redis_server.url, timeout_s=10.0))
    mine.prefetch(KEY)
    await mine.remaining_s("other")
    redis_server.command("DEL", LEASE)
    async with theirs.attempt(KEY):
        assert await held(mine) is LeaseHolder.OTHERS


TURN = "thumb-proxy:v2:01234567:t:1"


def calls(server: RedisServer) -> dict[str, int]:
    """Count the commands since the last count, those of scripts included."""
    stats = server.info("commandstats")
    server.command("CONFIG", "RESETSTAT")
    return {name.removeprefix("cmdstat_"): int(value["calls"]) for name, value in stats.items()}


async def test_a_claim_gives_what_stands_there_and_leads_nowhere(mine: Leases, redis_server: RedisServer) -> None:
    redis_server.command("SET", KEY, b"an entry")
    calls(redis_server)
    with mine.claim(KEY, TURN) as claim:
        assert await claim.read() == b"an entry"
        assert calls(redis_server).keys() - {"info", "config", "config|resetstat"} == {"eval", "mget"}
    assert redis_server.command("KEYS", "thumb-proxy:lease:*") == []


async def test_a_claim_leads_where_nothing_stands_and_has_the_turn(
    mine: Leases, theirs: Leases, redis_server: RedisServer
) -> None:
    """In one call; the attempts that follow ask nothing more, and what they leave stands there in one call more."""
    calls(redis_server)
    with mine.claim(KEY, TURN) as claim:
        assert await claim.read() is None
        async with mine.attempt(KEY) as lease, mine.attempt(TURN) as turn:
            assert (lease.held, turn.held) == (LeaseHolder.MINE, LeaseHolder.MINE)
            lease.message, lease.commit = b"told", committed("an entry")
            assert await theirs.remaining_s(KEY) > 0
            assert await theirs.remaining_s(TURN) > 0
    await there(redis_server, KEY)
    counted = calls(redis_server)
    assert (counted["eval"], counted["mget"], counted["set"], counted["del"]) == (2, 2, 3, 1)
    assert redis_server.command("KEYS", "thumb-proxy:lease:*") == []


async def test_a_claim_that_nobody_takes_up_is_given_back(
    mine: Leases, theirs: Leases, redis_server: RedisServer
) -> None:
    """Lead and turn; and one that never read has nothing to give back."""
    with mine.claim(KEY, TURN), mine.claim(KEY, TURN) as claim:
        await claim.read()
    await gone(redis_server)
    assert await held(theirs) is LeaseHolder.MINE
    assert await theirs.remaining_s(TURN) == 0


async def test_claims_at_once_share_one_look(mine: Leases, redis_server: RedisServer) -> None:
    calls(redis_server)
    with mine.claim(KEY, None) as one:
        with mine.claim(KEY, None) as other:
            assert [*await asyncio.gather(one.read(), other.read())] == [None, None]
        assert calls(redis_server)["eval"] == 1
        async with mine.attempt(KEY) as lease:
            assert lease.held is LeaseHolder.MINE
        assert calls(redis_server).get("eval", 0) <= 1, "that of letting go"


async def test_a_claim_takes_no_lead_from_an_attempt_here(mine: Leases, redis_server: RedisServer) -> None:
    async with mine.attempt(KEY) as lease:
        with mine.claim(KEY, None) as claim:
            redis_server.command("DEL", LEASE)
            assert await claim.read() is None
            assert redis_server.command("EXISTS", LEASE) == 0
        assert lease.held is LeaseHolder.MINE


async def test_a_claim_on_what_another_leads_leaves_it_alone(
    mine: Leases, theirs: Leases, redis_server: RedisServer
) -> None:
    """Nor does it take the turn; the attempt that follows looks again."""
    async with theirs.attempt(KEY):
        with mine.claim(KEY, TURN) as claim:
            assert await claim.read() is None
            assert redis_server.command("EXISTS", f"thumb-proxy:lease:{{{TURN}}}") == 0
            assert await held(mine) is LeaseHolder.OTHERS
        assert await theirs.remaining_s(KEY) > 0


@pytest.mark.parametrize("steps", range(12))
async def test_a_claim_cancelled_at_any_step_leaves_no_lease_behind(
    mine: Leases, theirs: Leases, redis_server: RedisServer, steps: int
) -> None:
    """Neither lead nor turn, whether its reply has come or not."""

    async def work() -> None:
        with mine.claim(KEY, TURN) as claim:
            await claim.read()
            async with mine.attempt(KEY):
                await asyncio.Event().wait()

    task = asyncio.create_task(work())
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    await mine.remaining_s("other")
    while redis_server.command("KEYS", "thumb-proxy:lease:*"):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)
    assert await held(theirs) is LeaseHolder.MINE


async def test_a_claim_answered_too_late_leaves_no_lease_behind(make_tier: MakeTier, redis_server: RedisServer) -> None:
    async with Relay(redis_server.port) as relay:
        watched = make_tier(f"redis://127.0.0.1:{relay.port}", timeout_s=0.3)
        await watched.tier.ping()
        relay.hold()
        with leases_of(watched).claim(KEY, TURN) as claim:
            assert await claim.read() is None
        assert redis_server.command("EXISTS", LEASE) == 1
        relay.let_go()
        while redis_server.command("KEYS", "thumb-proxy:lease:*"):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        await watched.tier.aclose()


@pytest.mark.parametrize(
    "rules", [("~thumb-proxy:v*", "&*", "+@all"), ("~thumb-proxy:*", "&*", "+@all", "-@scripting")]
)
async def test_a_user_without_the_right_to_lead_reads_all_the_same(
    make_tier: MakeTier, start_redis: StartRedis, rules: tuple[str, ...]
) -> None:
    server = start_redis()
    server.command("ACL", "SETUSER", "thumbs", "on", ">pw", *rules)
    server.command("SET", KEY, b"an entry")
    watched = make_tier(f"redis://thumbs:pw@127.0.0.1:{server.port}")
    leases = leases_of(watched)
    for _ in range(3):
        with leases.claim(KEY, None) as claim:
            assert await claim.read() == b"an entry"
    assert watched.troubles == [RedisFailure.REFUSED]


async def test_a_full_redis_is_read_all_the_same(make_tier: MakeTier, start_redis: StartRedis) -> None:
    server = start_redis(**{"maxmemory": "0", "maxmemory-policy": "noeviction"})
    leases = leases_of(make_tier(server.url, timeout_s=10.0))
    server.command("SET", KEY, b"an entry")
    server.command("CONFIG", "SET", "maxmemory", "1")
    for key, entry in ((KEY, b"an entry"), (f"{KEY}2", None)):
        with leases.claim(key, None) as claim:
            assert await claim.read() == entry


async def test_a_stranger_s_value_in_place_of_a_lease_is_replaced(mine: Leases, redis_server: RedisServer) -> None:
    redis_server.command("LPUSH", LEASE, "x")
    async with mine.attempt(KEY) as lease:
        assert lease.held is LeaseHolder.MINE
