"""Fixtures of the HTTP routes: a stand-in for Cloudreve and gateways in front of it."""

from __future__ import annotations

from tests.harness.fixtures import cloudreve, gateway, hours, launcher, log_entries, site
from tests.harness.loops import pytest_asyncio_loop_factories

__all__ = ["cloudreve", "gateway", "hours", "launcher", "log_entries", "pytest_asyncio_loop_factories", "site"]
