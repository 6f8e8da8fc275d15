"""Purges of several workers, told by their parent in every log that any of them read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from proxy.domain.value_seal import ValueSeal
from proxy.grants.change_log import LogEntryKind, decode
from proxy.grants.file_log import FileLog
from proxy.grants.purge import Purge
from proxy.settings import Settings
from proxy.standin.standin import StandIn
from proxy.workers.change_logs import ChangeLogs
from tests.harness.fixtures import cloudreve, launcher, log_entries
from tests.harness.gateways import GatewayClient, GatewayLauncher, settings_for, until
from tests.harness.redis_server import RedisServer

__all__ = ["cloudreve", "launcher", "log_entries"]

Sections: TypeAlias = dict[str, Any]
LONGEST_S = 20.0
ONE_KEY, OTHER_KEY = "k" * 32, "l" * 32


def another_disk(folder: Path, _: RedisServer) -> tuple[Sections, Sections]:
    """Change `disk.path`."""
    return {"disk": {"path": str(folder / "one")}}, {"disk": {"path": str(folder / "two")}}


def another_redis(_: Path, redis_server: RedisServer) -> tuple[Sections, Sections]:
    """Change `redis.namespace`."""
    redis = {"url": redis_server.url, "timeout_s": 5.0}
    return {"redis": redis}, {"redis": redis | {"namespace": "other"}}


def another_seal(_: Path, redis_server: RedisServer) -> tuple[Sections, Sections]:
    redis = {"url": redis_server.url, "timeout_s": 5.0}
    return {"redis": redis, "seal": {"keys": [ONE_KEY]}}, {"redis": redis, "seal": {"keys": [OTHER_KEY, ONE_KEY]}}


@pytest.mark.parametrize("change", [another_disk, another_redis, another_seal])
async def test_a_purge_reaches_workers_of_both_configurations(
    launcher: GatewayLauncher,
    tmp_path: Path,
    redis_server: RedisServer,
    change: Callable[[Path, RedisServer], tuple[Sections, Sections]],
) -> None:
    """As long as the earlier ones finish what they have begun; then the later ones alone."""
    logs = ChangeLogs()
    one, other = change(tmp_path, redis_server)
    async with logs.read(settings_of(launcher.cloudreve, other)):
        async with logs.read(settings_of(launcher.cloudreve, one)):
            gateways = [await launcher.open(**sections) for sections in (one, other)]
            await logs.purge(Purge(all=True))
            await heard(gateways, 1)
            before = gateways[1].count("changes_heard")
        await logs.purge(Purge(all=True))
        await heard(gateways[1:], before + 1)
    if change is not another_seal:  # with other keys in one log, what cannot be read may be a change of anything
        assert gateways[0].count("changes_heard") == 1


async def test_a_purge_is_told_in_one_file_with_the_keys_of_each_configuration(
    launcher: GatewayLauncher, tmp_path: Path
) -> None:
    """After a reload with other keys, workers cannot read what was sealed with the former ones."""
    logs = ChangeLogs()
    async with AsyncExitStack() as used:
        for key in (ONE_KEY, OTHER_KEY):
            sections: Sections = {"disk": {"path": str(tmp_path)}, "seal": {"keys": [key]}}
            await used.enter_async_context(logs.read(settings_of(launcher.cloudreve, sections)))
        await logs.purge(Purge(all=True))
    for key in (ONE_KEY, OTHER_KEY):
        page = await FileLog(tmp_path / "changes", ValueSeal([key])).exchange(0, [])
        assert LogEntryKind.PURGE in [decode(raw).kind for _, raw in page.entries if raw]


async def test_configurations_with_one_log_share_it(launcher: GatewayLauncher, tmp_path: Path) -> None:
    """A purge is told once, and goes on being told when one of the configurations is gone."""
    logs = ChangeLogs()
    sections: Sections = {"disk": {"path": str(tmp_path)}}
    slower = sections | {"server": {"deadline_s": 30.0}}
    async with AsyncExitStack() as later:
        async with logs.read(settings_of(launcher.cloudreve, sections)):
            await later.enter_async_context(logs.read(settings_of(launcher.cloudreve, slower)))
            gateway = await launcher.open(**sections)
            await logs.purge(Purge(all=True))
            await heard([gateway], 1)
        await logs.purge(Purge(all=True))
        await heard([gateway], 2)
    assert gateway.count("changes_heard") == 2


async def test_a_log_is_open_until_the_last_purge_in_it_has_ended(launcher: GatewayLauncher, tmp_path: Path) -> None:
    logs = ChangeLogs()
    sections: Sections = {"disk": {"path": str(tmp_path)}}
    gateway = await launcher.open(**sections)
    async with logs.read(settings_of(launcher.cloudreve, sections)):
        purging = asyncio.create_task(logs.purge(Purge(all=True)))
        await heard([gateway], 1)
    assert (await purging).waiting == 0


def settings_of(cloudreve: StandIn, sections: Sections) -> Settings:
    """Give the settings that a gateway of the house has with these sections."""
    return settings_for(cloudreve.own_url, **sections)


async def heard(gateways: list[GatewayClient], changes: float) -> None:
    """Wait until these have heard of so many changes."""
    async with asyncio.timeout(LONGEST_S):
        await until(lambda: all(gateway.count("changes_heard") >= changes for gateway in gateways))
