"""Both tiers together: the nearer first, and nothing old comes back from the farther."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.cache.memory_tier import MemoryTier
from proxy.cache.tiers import Tiers
from proxy.domain.entry import Entry
from proxy.domain.grant import Grant
from proxy.domain.picture import Picture
from proxy.domain.refusal import Refusal, RefusalKind
from proxy.domain.source import Source
from tests.cache.conftest import Clock, MakeTier, OpenDisk, Watched
from tests.harness.redis_server import RedisServer
from tests.harness.relay import Relay

GRANT = Grant("https://cloud.example.com/x?sign=y", 1795000000.5, "ab12", own=True)
NEWER = Grant("https://cloud.example.com/x?sign=z", 1795003600.5, "ab12", own=True)
REFUSAL = Refusal(RefusalKind.NOT_FOUND, 40016, "0d3cbb4c")
PICTURE = Picture("ab12", "image/png", '"v1"', bytes(range(256)))
MIB = 1024 * 1024


def minute(_: Entry) -> float:
    return 60.0


@pytest.fixture
def shared(make_tier: MakeTier, redis_server: RedisServer) -> Watched:
    """Give the tier that two replicas share."""
    return make_tier(redis_server.url, timeout_s=10.0)


@pytest.fixture
def here(shared: Watched, clock: Clock) -> Tiers:
    return Tiers(MemoryTier(MIB, timer=clock), shared=shared.tier)


@pytest.fixture
def there(shared: Watched, clock: Clock) -> Tiers:
    return Tiers(MemoryTier(MIB, timer=clock), shared=shared.tier)


async def test_a_stored_entry_is_found_in_memory(here: Tiers) -> None:
    await here.set("g:1", GRANT, 60.0)
    assert here.get_nowait("g:1") is GRANT
    assert await here.get("g:1", (Grant, Refusal), minute) == (GRANT, Source.MEMORY)


async def test_an_entry_of_another_replica_is_read_from_redis_once(here: Tiers, there: Tiers) -> None:
    await there.set("p:ab12", PICTURE, 60.0)
    assert here.get_nowait("p:ab12") is None
    assert await here.get("p:ab12", (Picture,), minute) == (PICTURE, Source.REDIS)
    assert await here.get("p:ab12", (Picture,), minute) == (PICTURE, Source.MEMORY)


async def test_memory_keeps_it_no_longer_than_is_left_of_it(here: Tiers, there: Tiers, clock: Clock) -> None:
    await there.set("g:1", GRANT, 60.0)
    assert await here.get("g:1", (Grant, Refusal), lambda _: 5.0) == (GRANT, Source.REDIS)
    clock.now += 5.0
    assert here.get_nowait("g:1") is None
    assert await here.get("g:1", (Grant, Refusal), lambda _: 0.0) == (GRANT, Source.REDIS)
    assert here.get_nowait("g:1") is None


async def test_nowhere_is_a_miss(here: Tiers) -> None:
    assert await here.get("g:1", (Grant, Refusal), minute) is None


async def test_an_entry_of_another_kind_is_a_miss(here: Tiers, there: Tiers) -> None:
    """In Redis as in memory; a grant is never taken for a picture."""
    await there.set("g:1", REFUSAL, 60.0)
    assert await here.get("g:1", (Picture,), minute) is None
    assert await there.get("g:1", (Picture,), minute) is None
    assert here.get_nowait("g:1") is None
    assert await here.get("g:1", (Grant, Refusal), minute) == (REFUSAL, Source.REDIS)


async def test_a_deleted_entry_is_gone_from_both_tiers(here: Tiers, there: Tiers) -> None:
    await here.set("g:1", GRANT, 60.0)
    await here.delete("g:1")
    assert await here.get("g:1", (Grant, Refusal), minute) is None
    assert await there.get("g:1", (Grant, Refusal), minute) is None


async def test_without_redis_memory_serves_alone() -> None:
    """One process needs nothing else."""
    tiers = Tiers(MemoryTier(MIB))
    assert await tiers.get("g:1", (Grant, Refusal), minute) is None
    await tiers.set("g:1", GRANT, 60.0)
    assert await tiers.get("g:1", (Grant, Refusal), minute) == (GRANT, Source.MEMORY)
    await tiers.delete("g:1")
    assert tiers.get_nowait("g:1") is None


async def test_with_redis_away_memory_serves_alone(make_tier: MakeTier) -> None:
    tiers = Tiers(MemoryTier(MIB), shared=make_tier("redis://127.0.0.1:1").tier)
    assert await tiers.get("g:1", (Grant, Refusal), minute) is None
    await tiers.set("g:1", GRANT, 60.0)
    assert await tiers.get("g:1", (Grant, Refusal), minute) == (GRANT, Source.MEMORY)
    await tiers.delete("g:1")
    assert await tiers.get("g:1", (Grant, Refusal), minute) is None


async def test_keeping_reaches_memory_before_anything_is_awaited(here: Tiers) -> None:
    write = asyncio.create_task(here.set("g:1", GRANT, 60.0))
    await asyncio.sleep(0)
    assert here.get_nowait("g:1") is GRANT
    await write


@pytest.mark.parametrize("meanwhile", ["forgotten", "renewed"])
async def test_a_slow_read_does_not_bring_back_what_is_over(
    make_tier: MakeTier, redis_server: RedisServer, meanwhile: str
) -> None:
    """Redis' reply was read before the grant was forgotten, or replaced, and arrives after."""
    plain = make_tier(redis_server.url, timeout_s=10.0).tier
    await plain.set("g:1", GRANT, 60.0)
    async with Relay(redis_server.port) as relay:
        slow = make_tier(f"redis://127.0.0.1:{relay.port}", timeout_s=10.0).tier
        tiers = Tiers(MemoryTier(MIB), shared=slow)
        relay.hold()
        reading = asyncio.create_task(tiers.get("g:1", (Grant, Refusal), minute))
        await relay.holds()
        change = tiers.delete("g:1") if meanwhile == "forgotten" else tiers.set("g:1", NEWER, 60.0)
        changing = asyncio.create_task(change)
        await asyncio.sleep(0)
        relay.let_go()
        assert await reading == (GRANT, Source.REDIS)
        await changing
        assert tiers.get_nowait("g:1") == (None if meanwhile == "forgotten" else NEWER)
        await slow.aclose()


class Gate:
    """Stands in the way of a step until the test opens it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def pass_through(self) -> None:
        """Tell that the step has come so far, and wait."""
        self.reached.set()
        await self.opened.wait()

    def before(self, step: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        """Let a step wait before it does anything."""

        async def held(*given: object, **more: object) -> object:
            await self.pass_through()
            return await step(*given, **more)

        return held

    def behind(self, step: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        """Let a step wait before it tells its outcome."""

        async def held(*given: object, **more: object) -> object:
            outcome = await step(*given, **more)
            await self.pass_through()
            return outcome

        return held


@pytest.mark.parametrize("verb", ["delete", "clear"])
async def test_a_read_while_an_entry_is_being_deleted_brings_it_back_to_no_tier(
    open_disk: OpenDisk, shared: Watched, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """It finds the entry in Redis, which has not heard yet, and stores it in memory and on disk."""
    disk, gate = open_disk(), Gate()
    tiers = Tiers(MemoryTier(MIB), [disk], shared.tier)
    await tiers.set("g:1", GRANT, 60.0)
    monkeypatch.setattr(shared.tier, verb, gate.before(getattr(shared.tier, verb)))
    deleting = asyncio.create_task(tiers.delete("g:1") if verb == "delete" else tiers.clear())
    await gate.reached.wait()
    assert await tiers.get("g:1", (Grant,), minute) is not None
    gate.opened.set()
    await deleting
    assert await tiers.get("g:1", (Grant,), minute) is None
    assert await disk.get("g:1") is None


@pytest.mark.parametrize("verb", ["delete", "clear"])
async def test_a_read_that_ends_when_redis_has_deleted_and_the_disk_is_about_to_brings_nothing_back(
    open_disk: OpenDisk, shared: Watched, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    disk, reading, redis, written = open_disk(), Gate(), Gate(), Gate()
    tiers = Tiers(MemoryTier(MIB), [disk], shared.tier)
    await shared.tier.set("g:1", GRANT, 60.0)
    monkeypatch.setattr(shared.tier, "get", reading.behind(shared.tier.get))
    monkeypatch.setattr(shared.tier, verb, redis.before(getattr(shared.tier, verb)))
    monkeypatch.setattr(disk, verb, written.behind(getattr(disk, verb)))
    deleting = asyncio.create_task(tiers.delete("g:1") if verb == "delete" else tiers.clear())
    await redis.reached.wait()
    looking = asyncio.create_task(tiers.get("g:1", (Grant,), minute))
    await reading.reached.wait()
    redis.opened.set()
    await written.reached.wait()
    reading.opened.set()
    assert await looking == (GRANT, Source.REDIS)
    written.opened.set()
    await deleting
    assert tiers.get_nowait("g:1") is None
    assert await disk.get("g:1") is None


async def test_looking_past_memory_finds_what_another_replica_has_renewed(here: Tiers, there: Tiers) -> None:
    await here.set("g:1", GRANT, 60.0)
    await there.set("g:1", NEWER, 60.0)
    assert await here.get("g:1", (Grant, Refusal), minute) == (GRANT, Source.MEMORY)
    assert await here.get_shared("g:1", minute) == NEWER
    assert here.get_nowait("g:1") == NEWER
    assert await here.get_shared("g:2", minute) is None


async def test_an_entry_left_by_another_replica_costs_no_read(here: Tiers, shared: Watched) -> None:
    """It is what Redis would have given."""
    await shared.tier.set("g:1", GRANT, 60.0)
    assert await here.get_shared("g:1", minute, NEWER) == NEWER
    assert here.get_nowait("g:1") == NEWER
    assert await Tiers(MemoryTier(MIB)).get_shared("g:1", minute, NEWER) == NEWER


async def test_an_entry_whose_end_only_redis_knows_is_not_stored_in_memory(here: Tiers) -> None:
    assert await here.get_shared("g:1", lambda _: 0.0, REFUSAL) == REFUSAL
    assert here.get_nowait("g:1") is None


@pytest.mark.parametrize("meanwhile", ["forgotten", "renewed"])
async def test_a_slow_look_past_memory_does_not_bring_back_what_is_over(
    make_tier: MakeTier, redis_server: RedisServer, meanwhile: str
) -> None:
    """The same race, with an older entry in memory when it begins."""
    plain = make_tier(redis_server.url, timeout_s=10.0).tier
    await plain.set("g:1", GRANT, 60.0)
    async with Relay(redis_server.port) as relay:
        slow = make_tier(f"redis://127.0.0.1:{relay.port}", timeout_s=10.0).tier
        tiers = Tiers(MemoryTier(MIB), shared=slow)
        tiers.set_local("g:1", GRANT, 60.0)
        relay.hold()
        reading = asyncio.create_task(tiers.get_shared("g:1", minute))
        await relay.holds()
        change = tiers.delete("g:1") if meanwhile == "forgotten" else tiers.set("g:1", NEWER, 60.0)
        changing = asyncio.create_task(change)
        await asyncio.sleep(0)
        relay.let_go()
        assert await reading == GRANT
        await changing
        assert tiers.get_nowait("g:1") == (None if meanwhile == "forgotten" else NEWER)
        await slow.aclose()


async def test_keeping_here_reaches_nobody_else(here: Tiers, there: Tiers) -> None:
    here.set_local("g:1", GRANT, 60.0)
    assert here.get_nowait("g:1") is GRANT
    assert await there.get("g:1", (Grant, Refusal), minute) is None


async def test_a_picture_under_another_s_name_is_none(here: Tiers, there: Tiers) -> None:
    """Whoever has confused two, a client of Redis perhaps: it would be shown to those who may see the other."""
    await there.set("p:cd34", PICTURE, 60.0)
    assert await here.get("p:cd34", (Picture,), minute) is None
    assert await here.get_shared("p:cd34", minute) is None
    assert await here.get_shared("p:cd34", minute, PICTURE) is None
    assert here.get_nowait("p:cd34") is None
