"""Work that goes on until a stack is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import structlog

_log = structlog.get_logger("proxy.wiring.process")


def run_until_closed(work: Coroutine[Any, Any, None], stack: AsyncExitStack) -> None:
    """Run something in a task until the stack is closed; an error that ends it before is logged at once."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(_tell_of_failure)

    async def stop() -> None:
        while not task.done():  # until Python 3.11 wait_for, which redis-py uses, may swallow a cancellation
            task.cancel()
            await asyncio.wait({task}, timeout=0.1)
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    """Say at once that background work has ended by an error: nobody waits for it before the end."""
    if not task.cancelled() and task.exception() is not None:
        _log.error("background work has ended", exc_info=task.exception())
