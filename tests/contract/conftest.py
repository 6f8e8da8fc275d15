"""Gives each contract test a client of each Cloudreve."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.harness.cloudreve_targets import Client, opened, targets


@pytest.fixture(params=targets())
async def cloudreve(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """Give a client, and delete afterwards what it has uploaded."""
    async with (
        opened(request.param) as target,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as session,
    ):
        client = Client(target, session)
        yield client
        await client.tidy()
