"""Callers that leave. A cancelled command once handed its reply to the next caller (redis-py issues 2624 and 2665)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import coroutine
from typing import Any

import pytest

from proxy.cache.redis_tier import RedisTier
from proxy.domain.picture import Picture
from proxy.redis.client import SPARE_CONNECTIONS
from tests.cache.conftest import MakeTier
from tests.harness.redis_server import RedisServer
from tests.harness.relay import Relay

COUNT = 8
TTL_S = 600.0

Find = Callable[[int], Coroutine[Any, Any, bytes | None]]


def body(n: int) -> bytes:
    """Give the bytes that belong to a key; some fit into one packet, some do not."""
    return bytes([n]) * (10 if n % 2 else 300_000)


async def fill(tier: RedisTier) -> None:
    for n in range(COUNT):
        await tier.set(f"p:{n}", Picture(f"{n}", "image/png", "", body(n)), TTL_S)


def through_the_tier(tier: RedisTier) -> Find:
    async def find(n: int) -> bytes | None:
        entry = await tier.get(f"p:{n}")
        return entry.body if isinstance(entry, Picture) else None

    return find


def through_the_client(tier: RedisTier) -> Find:
    """Ask redis-py itself, which must be as safe: the doctor and the probe do."""

    async def find(n: int) -> bytes | None:
        raw = await tier.connections.clients()[0].get(tier.build_key(f"p:{n}"))
        return raw[-len(body(n)) :] if isinstance(raw, bytes) else None

    return find


WAYS = pytest.mark.parametrize("way", [through_the_tier, through_the_client])


@coroutine
def cancelled_at(
    suspension: int, work: Coroutine[Any, Any, bytes | None], reached: asyncio.Event
) -> Generator[Any, Any, bytes | None]:
    """Run `work`, cancelling the task that runs it when it waits for the so-many-th time, if it ever does."""
    step: Callable[[Any], Any] = work.send
    value: Any = None
    waits = 0
    while True:
        try:
            waited_for = step(value)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        waits += 1
        if waits == suspension:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            reached.set()
        try:
            yield waited_for
            step, value = work.send, None
        except BaseException as error:  # noqa: BLE001 - passed on
            step, value = work.throw, error


async def is_cancelled(work: Awaitable[bytes | None]) -> bool:
    """Tell whether the work was cut short, or came to its end."""
    (outcome,) = await asyncio.gather(work, return_exceptions=True)
    assert isinstance(outcome, bytes | asyncio.CancelledError)
    return isinstance(outcome, asyncio.CancelledError)


@WAYS
@pytest.mark.parametrize("connections", [1, 3])
async def test_cancelled_at_any_await_nobody_gets_another_s_reply(
    make_tier: MakeTier, redis_server: RedisServer, way: Callable[[RedisTier], Find], connections: int
) -> None:
    """From the first connection on, at every point where a command waits."""
    suspension, reached = 0, asyncio.Event()
    while suspension == 0 or reached.is_set():
        suspension, reached = suspension + 1, asyncio.Event()
        tier = make_tier(redis_server.url, timeout_s=10.0, max_connections=connections + SPARE_CONNECTIONS).tier
        await fill(tier)
        find = way(tier)
        for _ in range(2):
            await is_cancelled(cancelled_at(suspension, find(0), reached))
            found = await asyncio.gather(*(find(n) for n in range(1, COUNT)))
            assert found == [body(n) for n in range(1, COUNT)]
            await tier.connections.clients()[0].connection_pool.disconnect()  # the second time it has to connect first
        await tier.aclose()
    assert suspension > 1, "nothing was ever cancelled"


@WAYS
async def test_cancelled_while_the_reply_is_on_its_way(
    make_tier: MakeTier, redis_server: RedisServer, way: Callable[[RedisTier], Find]
) -> None:
    """Over a slow line: the next caller of the only connection gets what it asked for, not what arrives first."""
    async with Relay(redis_server.port) as relay:
        tier = make_tier(f"redis://127.0.0.1:{relay.port}", timeout_s=10.0, max_connections=1).tier
        await fill(tier)
        find = way(tier)
        for n in range(1, COUNT):
            relay.hold()
            first = asyncio.create_task(find(0))
            await relay.holds()
            first.cancel()
            assert await is_cancelled(first)
            second = asyncio.create_task(find(n))
            await asyncio.sleep(0)
            relay.let_go()
            assert await second == body(n)
        await tier.aclose()


@WAYS
async def test_a_storm_of_cancellations_mixes_nothing_up_and_leaks_no_connection(
    make_tier: MakeTier, redis_server: RedisServer, way: Callable[[RedisTier], Find]
) -> None:
    """Hundreds of callers on three connections, half of whom leave at any moment."""
    dice = random.Random(7)  # noqa: S311 - the same storm every time
    tier = make_tier(redis_server.url, timeout_s=20.0, max_connections=3 + SPARE_CONNECTIONS).tier
    tier.connections.clients()[0].connection_pool.timeout = 20.0  # type: ignore[attr-defined]
    await fill(tier)
    find = way(tier)
    for _ in range(12):
        asked = [dice.randrange(COUNT) for _ in range(40)]
        tasks = [asyncio.create_task(find(n)) for n in asked]
        for task in dice.sample(tasks, 20):
            for _ in range(dice.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        for n, got in zip(asked, found, strict=True):
            assert isinstance(got, asyncio.CancelledError) or got == body(n)
    assert [await find(n) for n in range(COUNT)] == [body(n) for n in range(COUNT)]
    pool = tier.connections.clients()[0].connection_pool
    assert 1 <= redis_server.info("clients")["connected_clients"] <= 3 + SPARE_CONNECTIONS + 1, "that of this INFO"
    held = [await pool.get_connection() for _ in range(SPARE_CONNECTIONS)]  # type: ignore[no-untyped-call]
    for connection in held:
        await pool.release(connection)


async def test_a_caller_who_leaves_disturbs_neither_connection_nor_state(
    make_tier: MakeTier, redis_server: RedisServer
) -> None:
    """The command goes on without it: no connection is thrown away for a client that closes its page."""
    watched = make_tier(redis_server.url, timeout_s=10.0, max_connections=1)
    await fill(watched.tier)
    before = redis_server.command("INFO", "stats")
    for n in range(30):
        task = asyncio.create_task(watched.tier.get(f"p:{n % COUNT}"))
        for _ in range(n):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
    assert await watched.tier.get("p:1") is not None
    after = redis_server.command("INFO", "stats")
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert after["total_connections_received"] - before["total_connections_received"] == 1, "that of this INFO"
    assert watched.troubles == []
