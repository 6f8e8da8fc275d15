"""One load of one key, shared by all who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Generic, TypeVar

from proxy.domain.errors import Busy

T = TypeVar("T")


class Singleflight(Generic[T]):
    """Loads under way, by key.

    A flight is a detached task: it outlives the client that started it. Its failure is shared by those who wait and
    is forgotten with it. At most `bound` are open at once; one more is refused with Busy, joining one is free. Without
    a bound the loads themselves refuse what is too much.
    """

    def __init__(self, bound: int | None = None) -> None:
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
        return _outcome_of(task), collapsed

    async def aclose(self, patience_s: float = 0.0) -> None:
        """Let what is under way end by itself for so long, then end it, and what is started meanwhile."""
        if self._tasks and patience_s > 0:
            await asyncio.wait(list(self._tasks.values()), timeout=patience_s)
        while self._tasks:
            await asyncio.sleep(0)  # one that is cancelled before its first step could not clean up after itself
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: str, load: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        if self._bound is not None and len(self._tasks) >= self._bound:
            raise Busy("Too many thumbnails are being loaded already.")
        task = asyncio.get_running_loop().create_task(self._fly(key, load()), name="flight")
        self._tasks[key] = task
        return task

    async def _fly(self, key: str, load: Coroutine[Any, Any, T]) -> T:
        try:
            return await load
        finally:
            # In the load's own last step, so that nobody joins a flight whose load has ended.
            del self._tasks[key]


def _outcome_of(task: asyncio.Task[T]) -> asyncio.Future[T]:
    """Give a caller a future of its own.

    `asyncio.shield` would do, but reports a failure as unhandled when nobody took its future, and from Python 3.14 on
    also when its caller has left.
    """
    outcome: asyncio.Future[T] = task.get_loop().create_future()
    task.add_done_callback(partial(_tell, outcome))
    return outcome


def _tell(outcome: asyncio.Future[T], task: asyncio.Task[T]) -> None:
    error = None if task.cancelled() else task.exception()
    if outcome.done():  # the caller has left
        return
    if task.cancelled():
        outcome.cancel()
    elif error is None:
        outcome.set_result(task.result())
    else:
        outcome.set_exception(error)
        outcome.exception()  # taken note of, should it be abandoned
