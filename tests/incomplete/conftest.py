"""Fixtures of incomplete answers: a stand-in for Cloudreve and gateways in front of it, on both event loops."""

from __future__ import annotations

from tests.harness.fixtures import cloudreve, gateway, hours, launcher, log_entries, site, site_gateway
from tests.harness.loops import pytest_asyncio_loop_factories

__all__ = [
    "cloudreve",
    "gateway",
    "hours",
    "launcher",
    "log_entries",
    "pytest_asyncio_loop_factories",
    "site",
    "site_gateway",
]
