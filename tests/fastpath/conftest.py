"""Fixtures of the fast path: a stand-in for Cloudreve, gateways in front of it, and a connection to one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.harness.fixtures import log_entries
from tests.harness.gateways import GatewayClient
from tests.harness.loops import pytest_asyncio_loop_factories
from tests.harness.raw_client import Caller, calling

__all__ = ["log_entries", "pytest_asyncio_loop_factories"]


@pytest.fixture
async def caller(gateway: GatewayClient) -> AsyncIterator[Caller]:
    async with calling(gateway) as opened:
        yield opened
