"""Fixtures of the Redis room: those of the tiers, on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop

from tests.cache.conftest import clock, make_tier

__all__ = ["clock", "make_tier"]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test on both loops, whose transports differ."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
