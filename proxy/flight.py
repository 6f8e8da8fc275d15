"""One load of one key, shared by all who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from proxy.errors import Busy

T = TypeVar("T")


class Flights(Generic[T]):
    """Loads under way, by key.

    A flight is a detached task: it outlives the client that started it. Its failure is shared by those who wait and
    is forgotten with it. At most `bound` are open at once; one more is refused with Busy, joining one is free.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._tasks: dict[str, asyncio.Task[T]] = {}

    def __len__(self) -> int:
        """Count the open flights."""
        return len(self._tasks)

    def join(self, key: str, load: Callable[[], Coroutine[Any, Any, T]]) -> tuple[asyncio.Future[T], bool]:
        """Give the flight's outcome, to be awaited or abandoned freely, and whether it was already under way."""
        task = self._tasks.get(key)
        collapsed = task is not None
        if task is None:
            task = self._start(key, load)
        return asyncio.shield(task), collapsed

    async def aclose(self) -> None:
        """End what is still under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()

    def _start(self, key: str, load: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        if len(self._tasks) >= self._bound:
            raise Busy("Too many thumbnails are being loaded already.")
        task = asyncio.get_running_loop().create_task(self._fly(key, load()), name="flight")
        self._tasks[key] = task
        task.add_done_callback(_retrieve)
        return task

    async def _fly(self, key: str, load: Coroutine[Any, Any, T]) -> T:
        try:
            return await load
        finally:
            # In the load's own last step, so that nobody joins a flight whose load has ended.
            del self._tasks[key]


def _retrieve(task: asyncio.Task[T]) -> None:
    """Take note of a failure when everyone who could have has left."""
    if not task.cancelled():
        task.exception()
