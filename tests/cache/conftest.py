"""Fixtures of the tiers' tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr

from proxy.cache.disk_tier import DiskTier
from proxy.cache.redis_tier import PLAIN, RedisTier
from proxy.domain.value_seal import ValueSeal
from proxy.redis.failures import RedisFailure
from proxy.settings import RedisSettings, Settings

SITE = "http://cloudreve:5212"

MakeTier = Callable[..., "Watched"]
OpenDisk = Callable[..., DiskTier]
MIB = 1024 * 1024


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


@dataclass(frozen=True)
class Watched:
    """A Redis tier and the troubles it has told of."""

    tier: RedisTier
    troubles: list[RedisFailure] = field(default_factory=list)


async def value_of(tier: RedisTier, key: str) -> bytes | None:
    return (await values_of(tier, [key]))[0]


async def values_of(tier: RedisTier, keys: list[str]) -> Sequence[bytes | None]:
    values: asyncio.Future[Sequence[bytes | None]] = asyncio.get_running_loop().create_future()
    tier.connections.read_soon([tier.build_key(key) for key in keys], values.set_result)
    return await values


@pytest.fixture
def clock() -> Clock:
    """Give a clock for tiers that live in memory."""
    return Clock()


@pytest.fixture
async def make_tier() -> AsyncIterator[MakeTier]:
    """Give a function that builds a Redis tier from a URL and settings, closed at the end."""
    made: list[Watched] = []

    def make(url: str, site: str = SITE, seal: ValueSeal = PLAIN, **settings: float | str) -> Watched:
        troubles: list[RedisFailure] = []
        given = RedisSettings.model_validate({"url": SecretStr(url), **settings})
        made.append(Watched(RedisTier.from_settings(given, site, troubles.append, seal=seal), troubles))
        return made[-1]

    yield make
    for watched in made:
        await watched.tier.aclose()


@pytest.fixture
async def open_disk(tmp_path: Path) -> AsyncIterator[OpenDisk]:
    """Give a function that opens the disk tier in a directory of the test, closed at the end."""
    opened: list[DiskTier] = []

    def open_tier(
        folder: Path = tmp_path / "cache",
        max_bytes: int = 256 * MIB,
        keys: tuple[str, ...] = (),
        now: Callable[[], float] = time.time,
        site: str = SITE,
    ) -> DiskTier:
        disk = {"path": str(folder), "max_bytes": max_bytes}
        given = {"cloudreve": {"url": site}, "disk": disk, "seal": {"keys": keys}}
        opened.append(DiskTier.from_settings(Settings.model_validate(given), now))
        return opened[-1]

    yield open_tier
    for tier in opened:
        await tier.aclose()
