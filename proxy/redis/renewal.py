"""Something that has to be renewed time and again, until it is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Renewal:
    """Renews a lease for as long as it is held; work that is done sooner than the first time costs a timer."""

    def __init__(self, each_s: float, renew: Callable[[], Awaitable[bool]]) -> None:
        self._each_s = each_s
        self._renew = renew
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(each_s, self._begin)

    def cancel(self) -> None:
        """Renew no more."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._go_on())

    async def _go_on(self) -> None:
        while await self._renew():  # noqa: ASYNC110 - time is what it waits for
            await asyncio.sleep(self._each_s)
