"""Work that goes on until a stack is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from proxy.background_tasks import failure_logger


def run_until_closed(work: Coroutine[Any, Any, None], stack: AsyncExitStack) -> None:
    """Run something in a task until the stack is closed; an error that ends it before is logged at once."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(failure_logger("background work has ended"))

    async def stop() -> None:
        while not task.done():  # until Python 3.11 wait_for, which redis-py uses, may swallow a cancellation
            task.cancel()
            await asyncio.wait({task}, timeout=0.1)
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)
