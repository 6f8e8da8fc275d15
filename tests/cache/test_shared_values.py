"""Notes: short texts that all replicas of one Redis may read."""

from __future__ import annotations

import pytest

from proxy.cache.shared_values import SharedValues
from tests.cache.conftest import Clock, MakeTier
from tests.conftest import StartRedis
from tests.harness.redis_server import RedisServer


@pytest.fixture
def pair(make_tier: MakeTier, redis_server: RedisServer, clock: Clock) -> tuple[SharedValues, SharedValues]:
    tiers = [make_tier(redis_server.url, timeout_s=10.0).tier for _ in range(2)]
    return SharedValues(tiers[0], clock), SharedValues(tiers[1], clock)


async def test_a_value_of_one_process_is_read_by_another(
    pair: tuple[SharedValues, SharedValues], redis_server: RedisServer
) -> None:
    first, second = pair
    await first.set("s:a", "a-text", 60)
    assert await second.get("s:a") == "a-text"
    assert second.get_nowait("s:a") is None, "only Redis knows for how long it counts"
    (key,) = _keys(redis_server)
    assert key.endswith(":s:a")
    assert 59_000 < int(str(redis_server.command("PTTL", key))) <= 60_000


async def test_an_unwritten_value_is_a_miss(pair: tuple[SharedValues, SharedValues]) -> None:
    assert [await each.get("s:a") for each in pair] == [None, None]


async def test_a_note_lasts_for_its_own_time(clock: Clock) -> None:
    shared_values = SharedValues(None, clock)
    await shared_values.set("s:a", "a-text", 60)
    clock.now += 59.9
    assert await shared_values.get("s:a") == "a-text"
    clock.now += 0.2
    assert await shared_values.get("s:a") is None


@pytest.mark.parametrize("ttl_s", [0, -1])
async def test_a_note_without_time_is_not_written(
    pair: tuple[SharedValues, SharedValues], redis_server: RedisServer, ttl_s: float
) -> None:
    """Redis would take it for an error."""
    await pair[0].set("s:a", "a-text", ttl_s)
    assert pair[0].get_nowait("s:a") is None
    assert _keys(redis_server) == []


async def test_a_local_value_is_unknown_to_other_processes(pair: tuple[SharedValues, SharedValues]) -> None:
    first, second = pair
    first.set_nowait("s:a", "a-text", 60)
    assert first.get_nowait("s:a") == "a-text"
    assert await second.get("s:a") is None


async def test_without_redis_each_has_its_own(make_tier: MakeTier, start_redis: StartRedis, clock: Clock) -> None:
    server = start_redis()
    shared_values = SharedValues(make_tier(server.url).tier, clock)
    server.kill()
    await shared_values.set("s:a", "a-text", 60)
    assert await shared_values.get("s:a") == "a-text"
    assert await shared_values.get("s:b") is None


def _keys(redis_server: RedisServer) -> list[str]:
    found = redis_server.command("KEYS", "*")
    assert isinstance(found, list)
    return [key.decode() for key in found]
