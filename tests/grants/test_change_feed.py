"""Changes told from process to process by a log: a file, and Redis."""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeAlias

import pytest

from proxy.cache.redis_tier import RedisTier
from proxy.domain.tags import EVERYTHING, user_tag
from proxy.domain.value_seal import ValueSeal
from proxy.grants import change_feed, file_log, redis_log
from proxy.grants.change_feed import ABANDONED_S, OPEN_S, RENEW_S, ChangeFeed
from proxy.grants.change_log import ChangeLog, LogEntry, LogEntryKind, LogFailed
from proxy.grants.file_log import FileLog
from proxy.grants.invalidation import Invalidations
from proxy.grants.redis_log import RedisLog
from proxy.redis.pubsub import PubSubChannel
from proxy.settings import RedisSettings
from tests.conftest import StartRedis
from tests.harness.redis_server import RedisServer

SEAL = ValueSeal(["0123456789abcdef" * 4])
ALICE, BOB = (user_tag("alice"),), (user_tag("bob"),)


class Replica:
    """A feed on a log, and a timer that a test moves on."""

    def __init__(self, log: ChangeLog) -> None:
        self.time = 0.0
        self.log = log
        self.known = Invalidations(lambda: 1000.0, log=log.name)
        self.feed = ChangeFeed(log, self.known, lambda: self.time)

    def has_ended(self, stamp: object = None) -> bool:
        """Tell whether a grant of alice's, asked for now or with this stamp, has ended."""
        tags = (*ALICE, EVERYTHING)
        return self.known.has_ended(self.known.stamp if stamp is None else stamp, tags)  # type: ignore[arg-type]


Make: TypeAlias = Callable[[], Awaitable[Replica]]


@pytest.fixture(params=["file", "redis"])
async def make(request: pytest.FixtureRequest, tmp_path: Path, start_redis: StartRedis) -> AsyncIterator[Make]:
    """Give the means to make replicas of one log, each of which has read it once."""
    async with AsyncExitStack() as stack:
        url = start_redis().url if request.param == "redis" else ""

        async def made() -> Replica:
            log: ChangeLog = FileLog(tmp_path / "changes", SEAL)
            if url:
                settings = RedisSettings.model_validate({"url": url, "timeout_s": 5.0})
                tier = RedisTier.from_settings(settings, "http://x")
                stack.push_async_callback(tier.aclose)
                log = RedisLog(tier, PubSubChannel(tier.connections, tier.namespace))
            replica = Replica(log)
            await replica.feed.step()
            return replica

        yield made


@pytest.fixture
async def one(make: Make) -> Replica:
    return await make()


@pytest.fixture
async def two(make: Make, one: Replica) -> Replica:
    assert one.log.is_available()
    return await make()


async def test_a_change_of_one_replica_reaches_the_other(one: Replica, two: Replica) -> None:
    before = [one.known.stamp, two.known.stamp]
    one.feed.tell(ALICE)
    await one.feed.spread()
    assert one.feed.waiting == 0
    await two.feed.step()
    for replica in (one, two):
        assert all(replica.has_ended(stamp) for stamp in before)
        assert not any(replica.has_ended(each.known.stamp) for each in (one, two))
        assert not replica.known.has_ended(before[0], BOB)


async def test_a_replica_that_starts_later_reads_all_changes_before(one: Replica, make: Make) -> None:
    before = one.known.stamp
    one.feed.tell(ALICE)
    await one.feed.spread()
    later = await make()
    assert later.has_ended(before)
    assert not later.has_ended(one.known.stamp)


async def test_a_change_whose_author_dies_ends_by_itself(one: Replica, two: Replica) -> None:
    """Until then nothing that is kept counts; the first to notice tells all."""
    one.feed.begin(ALICE)
    await one.feed.spread()
    await two.feed.step()
    meanwhile = two.known.stamp
    assert two.has_ended()
    two.time += OPEN_S
    await _tend(two)
    assert two.has_ended(meanwhile)
    assert not two.has_ended()


async def test_a_change_that_takes_long_stays_open(one: Replica, two: Replica) -> None:
    """Its author gives word of it again and again; one that is ended is over for everybody."""
    change = one.feed.begin(ALICE)
    for _ in range(5):
        for replica in (one, two):
            replica.time += RENEW_S
        await _tend(one)
        await _tend(two)
        assert one.has_ended() is two.has_ended() is True
    one.feed.end(change, ALICE)
    await one.feed.spread()
    await two.feed.step()
    assert one.has_ended() is two.has_ended() is False


async def test_a_change_whose_answer_never_came_stays_open_a_while(one: Replica) -> None:
    one.feed.abandon(one.feed.begin(ALICE))
    one.time += ABANDONED_S - 0.1
    await _tend(one)
    assert one.has_ended()
    one.time += 0.1
    await _tend(one)
    assert not one.has_ended()


async def test_too_much_that_waits_is_told_as_one_change_of_everything(
    one: Replica, two: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a long outage takes no memory."""
    monkeypatch.setattr(change_feed, "MAX_UNSENT", 10)
    before = two.known.stamp
    for _ in range(11):
        one.feed.tell(ALICE)
    assert one.feed.waiting == 1
    await one.feed.spread()
    await two.feed.step()
    assert two.known.has_ended(before, (EVERYTHING,))


async def test_a_log_longer_than_a_page_is_read_to_its_end(one: Replica, two: Replica) -> None:
    for number in range(redis_log.PAGE + 10):
        one.feed.tell((user_tag(str(number)),))
    await one.feed.step()
    await two.feed.step()
    assert two.known.stamp.heard == redis_log.PAGE + 10


async def _tend(replica: Replica) -> None:
    """Do what a feed does now and then, once."""
    following = asyncio.ensure_future(replica.feed.follow())
    for _ in range(3):
        await asyncio.sleep(0)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await replica.feed.step()


async def test_a_redis_that_is_away_keeps_changes_waiting(start_redis: StartRedis) -> None:
    """Those of here count here at once, and are told when it is back; then what was missed is read before all else."""
    server = start_redis()
    settings = RedisSettings.model_validate({"url": server.url, "timeout_s": 0.2, "pause_s": 0.01})
    tiers = [RedisTier.from_settings(settings, "http://x") for _ in range(2)]
    one, two = (Replica(RedisLog(tier, PubSubChannel(tier.connections, tier.namespace))) for tier in tiers)
    for replica in (one, two):
        await replica.feed.step()
    before = two.known.stamp
    server.freeze()
    one.feed.tell(ALICE)
    await one.feed.spread()
    assert one.feed.waiting == 1
    assert one.has_ended(before)
    assert not two.has_ended(before)
    with pytest.raises(LogFailed):
        await two.feed.step()
    assert two.feed.is_behind
    server.thaw()
    for replica in (one, two):
        while replica.feed.is_behind:
            await asyncio.sleep(0)  # a probe finds out that Redis is back
            await replica.feed.ready()
    assert one.feed.waiting == 0
    assert two.has_ended(before)
    for tier in tiers:
        await tier.aclose()


async def test_a_redis_that_was_emptied_ends_all_from_before(start_redis: StartRedis) -> None:
    """Nobody knows what has been missed; what is asked for afterwards counts, at both."""
    server = start_redis()
    settings = RedisSettings.model_validate({"url": server.url, "timeout_s": 5.0})
    tiers = [RedisTier.from_settings(settings, "http://x") for _ in range(2)]
    one, two = (Replica(RedisLog(tier, PubSubChannel(tier.connections, tier.namespace))) for tier in tiers)
    for replica in (one, two):
        await replica.feed.step()
    before = one.known.stamp, two.known.stamp
    server.command("FLUSHALL")
    for replica in (one, two):
        await replica.feed.step()
    assert all(replica.has_ended(stamp) for replica in (one, two) for stamp in before)
    assert not any(replica.has_ended(each.known.stamp) for replica in (one, two) for each in (one, two))
    for tier in tiers:
        await tier.aclose()


@pytest.mark.parametrize("damage", [b"", b"\x00" * 100, b"rubbish"], ids=["cut", "zeros", "scrambled"])
async def test_a_damaged_file_ends_all_from_before(tmp_path: Path, damage: bytes) -> None:
    """The entry behind the damage may have been a change."""
    path = tmp_path / "changes"
    one, two = Replica(FileLog(path, SEAL)), Replica(FileLog(path, SEAL))
    for replica in (one, two):
        await replica.feed.step()
    one.feed.tell(BOB)
    for replica in (one, two):
        await replica.feed.step()
    before = two.known.stamp
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2] + damage)
    for replica in (two, one):
        await replica.feed.step()
    assert two.has_ended(before)
    assert not two.has_ended()
    one.feed.tell(ALICE)
    await one.feed.step()
    after = two.known.stamp
    await two.feed.step()
    assert two.has_ended(after)


async def test_a_file_that_grows_too_long_loses_its_older_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has kept up misses nothing; whoever has not trusts nothing from before."""
    monkeypatch.setattr(file_log, "MAX_BYTES", 2000)
    path = tmp_path / "changes"
    one, two, late = (Replica(FileLog(path, SEAL)) for _ in range(3))
    for replica in (one, two, late):
        await replica.feed.step()
    before = late.known.stamp
    for number in range(100):
        one.feed.tell((user_tag(str(number)),))
        await one.feed.step()
        await two.feed.step()
        assert path.stat().st_size < 3000
    assert two.known.stamp.heard == 100
    await late.feed.step()
    assert late.has_ended(before)


async def test_a_file_that_cannot_be_written_keeps_changes_waiting(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    one = Replica(FileLog(folder / "changes", SEAL))
    one.feed.tell(ALICE)
    await one.feed.spread()
    assert (one.feed.waiting, one.feed.is_behind) == (1, True)
    folder.mkdir()
    await one.feed.ready()
    assert (one.feed.waiting, one.feed.is_behind) == (0, False)
    assert (folder / "changes").stat().st_mode & 0o777 == 0o600


async def test_what_a_process_with_other_keys_has_told_may_be_a_change_of_anything(
    tmp_path: Path, start_redis: StartRedis
) -> None:
    """Who reads the file and has not its keys finds no tag to compare with that of a File URI, and trusts no grant."""
    path, seals = tmp_path / "changes", (SEAL, ValueSeal(["another" * 8]), ValueSeal())
    settings = RedisSettings.model_validate({"url": start_redis().url, "timeout_s": 5.0})
    tiers = [RedisTier.from_settings(settings, "http://x", seal=seal) for seal in seals]
    redis = [RedisLog(tier, PubSubChannel(tier.connections, tier.namespace)) for tier in tiers]
    for logs in ([FileLog(path, seal) for seal in seals], redis):
        one, *others = map(Replica, logs)
        for replica in others:
            await replica.feed.step()
        before = [replica.known.stamp for replica in others]
        one.feed.tell(ALICE)
        await one.feed.spread()
        for replica, stamp in zip(others, before, strict=True):
            await replica.feed.step()
            assert replica.known.has_ended(stamp, (*BOB, EVERYTHING))
            assert not replica.known.has_ended(replica.known.stamp, (*BOB, EVERYTHING))
    assert ALICE[0] not in path.read_bytes()
    for tier in tiers:
        await tier.aclose()


async def test_a_change_of_very_many_tags_is_one_of_everything(make: Make) -> None:
    here, there = await make(), await make()
    stamp = there.known.stamp
    here.feed.tell(tuple(user_tag(f"user {number}") for number in range(20_000)))
    await here.feed.spread()
    await there.feed.catch_up()
    assert here.feed.waiting == 0
    assert there.known.has_ended(stamp, (EVERYTHING,))  # which every grant rests on
    later = there.known.stamp
    here.feed.tell(ALICE)
    await here.feed.spread()
    await there.feed.catch_up()
    assert there.has_ended(later)


AHEAD_S = 3600.0
"""So far the clock of a log that is lost goes ahead of its successor's."""


class LostLog:
    """Processes on one log that loses its end, as after a failover to a replica that had not received it."""

    def __init__(self, path: Path, server: RedisServer | None) -> None:
        self._path = path
        self._server = server
        self._now = time.time() + AHEAD_S
        self._tiers: list[RedisTier] = []

    async def replica(self) -> Replica:
        """Make a process that has read the log."""
        log: ChangeLog = FileLog(self._path, SEAL, lambda: self._now)
        if self._server is not None:
            settings = RedisSettings.model_validate({"url": self._server.url, "timeout_s": 5.0})
            tier = RedisTier.from_settings(settings, "http://x")
            self._tiers.append(tier)
            log = RedisLog(tier, PubSubChannel(tier.connections, tier.namespace))
            if len(self._tiers) == 1:
                self._server.command("XADD", tier.build_key("changes"), f"{int(self._now * 1000)}-0", "e", b"")
        replica = Replica(log)
        await replica.feed.step()
        return replica

    async def lose(self) -> None:
        """Leave nothing but a beginning from long ago, and let the clock go back."""
        self._now = 1000.0
        if self._server is None:
            self._path.unlink()
            await FileLog(self._path, SEAL, lambda: 1.0).exchange(0, [])
        else:
            key = self._tiers[0].build_key("changes")
            self._server.command("DEL", key)
            self._server.command("XADD", key, "1000-0", "e", b"")

    async def aclose(self) -> None:
        """Close all connections."""
        for tier in self._tiers:
            await tier.aclose()


@pytest.fixture(params=["file", "redis"])
async def lost(request: pytest.FixtureRequest, tmp_path: Path, start_redis: StartRedis) -> AsyncIterator[LostLog]:
    log = LostLog(tmp_path / "changes", start_redis() if request.param == "redis" else None)
    yield log
    await log.aclose()


async def test_a_log_that_has_lost_its_end_goes_on(lost: LostLog) -> None:
    """Its clock is behind what was read of it, and nobody waits until it has come that far."""
    one, two = await lost.replica(), await lost.replica()
    before = two.known.stamp
    await lost.lose()
    for replica in (one, two, one):
        await replica.feed.step()
    assert one.has_ended(before)
    assert two.has_ended(before)
    between = two.known.stamp
    one.feed.tell(ALICE)
    await one.feed.step()
    await two.feed.step()
    assert two.has_ended(between)
    assert one.feed.waiting == two.feed.waiting == 0
    assert not any(replica.has_ended(each.known.stamp) for replica in (one, two) for each in (one, two))


async def test_grants_from_before_a_log_lost_its_end_have_ended_for_everybody(lost: LostLog) -> None:
    """A later change may stand at a lower place than a grant from before, for a process that was not there."""
    one, two = await lost.replica(), await lost.replica()
    one.feed.tell(BOB)
    for replica in (one, two):
        await replica.feed.step()
    before = two.known.stamp
    await lost.lose()
    three = await lost.replica()
    three.feed.tell(ALICE)
    await three.feed.step()
    assert three.known.stamp.position < before.position
    await two.feed.step()
    await three.feed.step()
    assert three.known.stamp.position > before.position
    for replica in (two, three):
        assert replica.has_ended(before)
        assert not replica.has_ended(two.known.stamp)


async def test_a_file_that_another_process_has_locked_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been stopped: the change is told later, and no thread of the pool that all share is taken."""
    monkeypatch.setattr(file_log, "LOCK_S", 0.02)
    one = Replica(FileLog(tmp_path / "changes", SEAL))
    with (tmp_path / "changes").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        one.feed.tell(ALICE)
        for _ in range(40):
            with pytest.raises(LogFailed):
                await one.feed.step()
        assert await asyncio.to_thread(lambda: 7) == 7
        assert one.feed.waiting == 1
    await one.feed.step()
    assert one.feed.waiting == 0


async def test_a_purge_whose_author_leaves_leaves_nothing_behind(one: Replica, two: Replica) -> None:
    purging = asyncio.create_task(one.feed.purge(ALICE))
    purge = await one.feed.purges.get()
    purging.cancel()
    await asyncio.gather(purging, return_exceptions=True)
    await one.feed.step()
    await two.feed.step()
    two.feed.reply(await two.feed.purges.get(), (3, 4))
    await two.feed.step()
    await one.feed.step()
    one.feed.reply(purge, (1, 2))
    assert one.feed._replies == {}  # noqa: SLF001 - what is left behind


async def test_what_was_confirmed_since_a_change_counts_everywhere(one: Replica, two: Replica) -> None:
    """A process that cannot read what was confirmed ends all."""
    place, picture, others = user_tag("place"), user_tag("picture"), user_tag("others")
    stamps = [(replica, replica.known.stamp) for replica in (one, two)]
    one.feed.tell(ALICE, frozenset({(place, picture)}))
    await one.feed.step()
    await two.feed.step()
    for replica, stamp in stamps:
        assert not replica.known.has_ended(stamp, (*ALICE, place, picture))
        assert replica.known.has_ended(stamp, (*ALICE, place, others))
    assert LogEntry(LogEntryKind.END, b"12345678", 1, ALICE, b"?" * 17).confirmed == frozenset()
