"""Fixtures of incomplete answers: a stand-in for Cloudreve and gateways in front of it, on both event loops."""

from __future__ import annotations

from tests.harness.fixtures import cloudreve, front, hours, house, narrated, site, site_front
from tests.harness.loops import pytest_asyncio_loop_factories

__all__ = ["cloudreve", "front", "hours", "house", "narrated", "pytest_asyncio_loop_factories", "site", "site_front"]
