"""What the tests of the tiers share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from proxy.cache.redis_tier import RedisTier
from proxy.redis.failures import Trouble
from proxy.settings import RedisSettings

SITE = "http://cloudreve:5212"

MakeTier = Callable[..., "Watched"]


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
    troubles: list[Trouble] = field(default_factory=list)


@pytest.fixture
def clock() -> Clock:
    """Give a clock for tiers that live in memory."""
    return Clock()


@pytest.fixture
async def make_tier() -> AsyncIterator[MakeTier]:
    """Give a function that builds a Redis tier from a URL and settings, closed at the end."""
    made: list[Watched] = []

    def make(url: str, site: str = SITE, **settings: float | str) -> Watched:
        troubles: list[Trouble] = []
        given = RedisSettings.model_validate({"url": SecretStr(url), **settings})
        made.append(Watched(RedisTier.from_settings(given, site, troubles.append), troubles))
        return made[-1]

    yield make
    for watched in made:
        await watched.tier.aclose()
