"""Fixtures of the HTTP routes: a stand-in for Cloudreve and gateways in front of it."""

from __future__ import annotations

from tests.harness.fixtures import cloudreve, front, hours, house, narrated, site
from tests.harness.loops import pytest_asyncio_loop_factories

__all__ = ["cloudreve", "front", "hours", "house", "narrated", "pytest_asyncio_loop_factories", "site"]
