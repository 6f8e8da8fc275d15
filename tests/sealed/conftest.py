"""Both event loops."""

from __future__ import annotations

from tests.harness.loops import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
