"""Redis in every kind of trouble while two gateways are under load: each request gets its picture all the same."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import TypeAlias

import pytest

from proxy.standin.standin import StandIn
from tests.conftest import StartRedis
from tests.harness.gateways import GatewayClient, GatewayLauncher, until
from tests.harness.redis_server import RedisServer
from tests.harness.relay import Relay

VISITORS = 8
ENOUGH = 60
"""So many answers in a state say enough about it: some are hits of memory, some of Redis, some are misses."""

RedisFailure: TypeAlias = Callable[[RedisServer], Awaitable[None]]


class Load:
    """Visitors who ask without pause, new pictures and old ones, at two gateways in turn."""

    def __init__(self, gateways: list[GatewayClient], uris: list[str]) -> None:
        self._fronts = cycle(gateways)
        self._uris = cycle(uris)
        self.statuses: list[int] = []
        self.slowest_s = 0.0

    async def visit(self) -> None:
        """Ask for ever; every picture twice, the second time elsewhere."""
        while True:
            uri = next(self._uris)
            for _ in range(2):
                started = time.perf_counter()
                reply = await next(self._fronts).ask(uri)
                self.slowest_s = max(self.slowest_s, time.perf_counter() - started)
                self.statuses.append(reply.status)

    async def goes_on(self, answers: int = ENOUGH) -> None:
        """Wait until so many more answers have come."""
        enough = len(self.statuses) + answers
        await until(lambda: len(self.statuses) >= enough)


@asynccontextmanager
async def loaded(gateways: list[GatewayClient], cloudreve: StandIn) -> AsyncIterator[Load]:
    """Put gateways under load, and find at the end that every single answer was a picture."""
    load = Load(gateways, cloudreve.library.gallery(200)[1])
    tasks = [asyncio.create_task(load.visit()) for _ in range(VISITORS)]
    await load.goes_on()
    yield load
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}
    assert set(load.statuses) == {200}
    assert load.slowest_s < 5


async def stopped(server: RedisServer) -> None:
    await asyncio.to_thread(server.stop)


async def killed(server: RedisServer) -> None:
    await asyncio.to_thread(server.kill)


async def frozen(server: RedisServer) -> None:
    """Accept connections, and answer nothing."""
    server.freeze()


async def full(server: RedisServer) -> None:
    """Refuse every write for want of memory."""
    server.command("CONFIG", "SET", "maxmemory", "1")


async def started(server: RedisServer) -> None:
    await asyncio.to_thread(server.start)


async def thawed(server: RedisServer) -> None:
    server.thaw()


async def emptied(server: RedisServer) -> None:
    server.command("CONFIG", "SET", "maxmemory", "0")


@pytest.fixture
async def pair(launcher: GatewayLauncher, start_redis: StartRedis) -> tuple[list[GatewayClient], RedisServer]:
    """Run two gateways, whose memory holds little, on one Redis of their own."""
    server = start_redis()
    redis: dict[str, object] = {"url": server.url, "timeout_s": 0.05, "pause_s": 0.05}
    return [await launcher.open(redis=redis, memory={"max_bytes": 40_000}) for _ in range(2)], server


@pytest.mark.parametrize(
    ("trouble", "cure"),
    [(stopped, started), (killed, started), (frozen, thawed), (full, emptied)],
    ids=["stopped", "killed", "frozen", "full"],
)
async def test_no_request_fails_while_redis_does(
    cloudreve: StandIn, pair: tuple[list[GatewayClient], RedisServer], trouble: RedisFailure, cure: RedisFailure
) -> None:
    """The trouble comes under load, twice, and goes; afterwards Redis is used again, without a restart of ours."""
    gateways, server = pair
    async with loaded(gateways, cloudreve) as load:
        for _ in range(2):
            await trouble(server)
            await load.goes_on()
            await cure(server)
            await load.goes_on()
            await until(lambda: all(gateway.count("redis_up") for gateway in gateways))
            server.command("FLUSHALL")
            await until(lambda: server.command("DBSIZE"))


@pytest.mark.parametrize(("part", "join"), [(Relay.hold, Relay.let_go), (Relay.shut, Relay.reopen)])
async def test_a_replica_that_is_cut_off_from_redis_works_alone(
    launcher: GatewayLauncher,
    cloudreve: StandIn,
    start_redis: StartRedis,
    part: Callable[[Relay], None],
    join: Callable[[Relay], None],
) -> None:
    """While the other goes on sharing; when the way is open again they share as before."""
    server, memory = start_redis(), {"max_bytes": 40_000}
    async with Relay(server.port) as relay:
        near = await launcher.open(redis={"url": server.url, "timeout_s": 5.0}, memory=memory)
        redis = {"url": f"redis://127.0.0.1:{relay.port}/0", "timeout_s": 0.05, "pause_s": 0.05}
        far = await launcher.open(redis=redis, memory=memory)
        async with loaded([near, far], cloudreve) as load:
            part(relay)
            await until(lambda: not far.count("redis_up"))
            await load.goes_on()
            assert near.count("redis_up") == 1
            join(relay)
            shared = far.count("lookups_total", entry="grant", source="redis")
            await until(lambda: far.count("lookups_total", entry="grant", source="redis") > shared)


async def test_no_request_fails_when_redis_is_restarted_and_emptied_again_and_again(
    cloudreve: StandIn, pair: tuple[list[GatewayClient], RedisServer]
) -> None:
    """Whatever lay between a question and its answer is asked anew."""
    gateways, server = pair
    async with loaded(gateways, cloudreve) as load:
        for _ in range(3):
            await killed(server)
            await started(server)
            await load.goes_on(20)
            server.command("FLUSHALL")
            await load.goes_on(20)


async def test_a_gateway_starts_without_its_redis(
    launcher: GatewayLauncher, cloudreve: StandIn, start_redis: StartRedis
) -> None:
    """It serves from memory, and uses Redis as soon as there is one."""
    server = start_redis()
    server.kill()
    gateway = await launcher.open(redis={"url": server.url, "timeout_s": 0.05, "pause_s": 0.05})
    async with loaded([gateway], cloudreve):
        await started(server)
        await until(lambda: server.command("DBSIZE"))


async def test_a_redis_that_does_not_let_us_in_is_a_miss(
    launcher: GatewayLauncher, cloudreve: StandIn, start_redis: StartRedis
) -> None:
    """A wrong password costs no request; the metrics tell."""
    server = start_redis(requirepass="right")
    url = f"redis://:wrong@127.0.0.1:{server.port}/0"
    gateway = await launcher.open(redis={"url": url, "timeout_s": 0.05, "pause_s": 0.05})
    async with loaded([gateway], cloudreve):
        pass
    assert gateway.count("redis_troubles_total", trouble="denied") > 0
