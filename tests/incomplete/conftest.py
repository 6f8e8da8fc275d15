"""Fixtures of incomplete answers: a stand-in for Cloudreve and gateways in front of it, on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop

from tests.harness.fixtures import cloudreve, front, hours, house, narrated, site, site_front

__all__ = ["cloudreve", "front", "hours", "house", "narrated", "site", "site_front"]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test on both loops, which differ in abort and in what they buffer."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}
