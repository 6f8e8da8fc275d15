"""A stand-in Cloudreve and a client that asks it exactly as told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from proxy.standin.standin import StandIn
from tests.harness.cloudreve_targets import Client, StandInTarget


@pytest.fixture
async def cloudreve() -> AsyncIterator[StandIn]:
    """Run a stand-in whose pictures are small and quickly painted."""
    async with StandIn(size=(80, 60)) as standin:
        yield standin


@pytest.fixture
async def client(cloudreve: StandIn) -> AsyncIterator[Client]:
    jar = aiohttp.DummyCookieJar()
    async with aiohttp.ClientSession(cookie_jar=jar, auto_decompress=False) as session:
        yield Client(StandInTarget(cloudreve), session)
