"""Work beside everybody's path, which nobody waits for until the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import structlog

_T = TypeVar("_T")

_log = structlog.get_logger("proxy.background_tasks")


def failure_logger(event: str) -> Callable[[asyncio.Task[None]], None]:
    """Make the callback of a task that nobody waits for: an error that ends it is logged at once."""

    def tell(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _log.error(event, exc_info=task.exception())

    return tell


class BackgroundTasks:
    """Tasks under way. None is cancelled before the end, also when its caller gives up waiting for it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Begin one."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self, patience_s: float) -> None:
        """Let them end for so many seconds, those included that they begin meanwhile; then end them."""
        until = asyncio.get_running_loop().time() + patience_s
        while self._tasks and (remaining_s := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._tasks, timeout=remaining_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
