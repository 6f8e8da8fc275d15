"""Gateways on a Redis that fails over, behind Sentinels or in a cluster: every request gets its picture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import cycle

import pytest

from proxy.standin.standin import StandIn
from tests.harness.gateways import GatewayClient, GatewayLauncher, statuses, until
from tests.harness.redis_server import until as until_then
from tests.harness.sentinels import Watched
from tests.harness.sharded import Sharded

VISITORS = 6
QUICK = {"timeout_s": 0.2, "pause_s": 0.2}


@pytest.fixture
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Run a server, its replica and three Sentinels."""
    made = Watched(tmp_path_factory.mktemp("watched"))
    try:
        yield made.start()
    finally:
        made.kill()


@pytest.fixture
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sharded]:
    made = Sharded(tmp_path_factory.mktemp("sharded"))
    try:
        yield made.start()
    finally:
        made.kill()


async def fails_over(
    launcher: GatewayLauncher, url: str, fault: Callable[[], object], is_over: Callable[[], bool]
) -> None:
    """Put two gateways under load, let Redis fail over, and see every answer be a picture until it serves again."""
    gateways = [await launcher.open(redis={"url": url, **QUICK}, memory={"max_bytes": 4096}) for _ in range(2)]
    _, uris = launcher.cloudreve.library.gallery(60)
    ways, wishes, stopped = cycle(gateways), cycle(uris), asyncio.Event()

    async def visit() -> list[int]:
        seen = []
        while not stopped.is_set():
            reply = await next(ways).ask(next(wishes))
            seen.append(reply.status)
        return seen

    visitors = [asyncio.create_task(visit()) for _ in range(VISITORS)]
    await hits(gateways)
    await asyncio.to_thread(fault)
    await asyncio.to_thread(until_then, is_over, 20.0)
    await hits(gateways)
    stopped.set()
    seen = [status for visitor in visitors for status in await visitor]
    assert set(seen) == {200}


async def hits(gateways: list[GatewayClient]) -> None:
    """Wait until each gateway has found pictures in Redis anew."""
    before = [gateway.count("lookups_total", entry="picture", source="redis") for gateway in gateways]
    await until(
        lambda: all(
            gateway.count("lookups_total", entry="picture", source="redis") > count + 5
            for gateway, count in zip(gateways, before, strict=True)
        )
    )
    await until(lambda: all(gateway.count("redis_up") == 1 for gateway in gateways))


async def test_behind_sentinels(launcher: GatewayLauncher, watched: Watched) -> None:
    """The server that was written to is gone; its replica takes over."""
    old = watched.master()
    await fails_over(launcher, watched.url, old.freeze, lambda: watched.master() is not old)


async def test_in_a_cluster(launcher: GatewayLauncher, sharded: Sharded) -> None:
    """One of three is gone; its replica takes over a third of the keys."""
    old, replica = sharded.servers[0], sharded.servers[-1]
    await fails_over(launcher, sharded.url, old.kill, lambda: replica.info("replication")["role"] == "master")


async def test_three_gateways_share_the_work_in_a_cluster(
    cloudreve: StandIn, launcher: GatewayLauncher, sharded: Sharded
) -> None:
    """As they do on one server: one resolve and one fetch per picture."""
    gateways = [await launcher.open(redis={"url": sharded.url, "timeout_s": 5.0}) for _ in range(3)]
    _, uris = cloudreve.library.gallery(12)
    replies = await asyncio.gather(*(gateway.ask(uri) for uri in uris for gateway in gateways))
    assert set(statuses(replies)) == {200}
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (len(uris), len(uris))
