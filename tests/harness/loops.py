"""Both event loops, and their steps: production runs uvloop, which differs in abort and in what it buffers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of a folder on both; its `conftest.py` imports this."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


async def some_steps(count: int = 20) -> None:
    """Let all that can go on go on, for so many steps of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)
