"""Fixtures of the fast path: a stand-in for Cloudreve, gateways in front of it, and a connection to one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.harness.fixtures import cloudreve, front, hours, house, narrated, site
from tests.harness.gateways import Front
from tests.harness.loops import pytest_asyncio_loop_factories
from tests.harness.raw_client import Caller, calling

__all__ = ["cloudreve", "front", "hours", "house", "narrated", "pytest_asyncio_loop_factories", "site"]


@pytest.fixture
async def caller(front: Front) -> AsyncIterator[Caller]:
    """Open a connection."""
    async with calling(front) as opened:
        yield opened
