"""Fixtures of connections byte by byte, on both event loops."""

from __future__ import annotations

from tests.harness.fixtures import narrated
from tests.harness.loops import pytest_asyncio_loop_factories

__all__ = ["narrated", "pytest_asyncio_loop_factories"]
