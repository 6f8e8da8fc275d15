"""Fixtures: a stand-in for Cloudreve that tells what changes, and gateways in front of it."""

from __future__ import annotations

from tests.harness.fixtures import log_entries
from tests.harness.loops import pytest_asyncio_loop_factories

__all__ = ["log_entries", "pytest_asyncio_loop_factories"]
