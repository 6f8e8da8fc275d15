"""Concurrency towards Cloudreve, shared fairly: a client with ten thousand wishes takes turns with one who has one."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from proxy.errors import Busy


class FairLimit:
    """At most `slots` at work at once; who waits is served client by client, round robin.

    Of one client at most `bound_per_client` are admitted at once, so that it cannot fill the house either.
    """

    def __init__(self, slots: int, bound_per_client: int) -> None:
        self._free = slots
        self._bound_per_client = max(bound_per_client, 1)
        self._admitted: Counter[str] = Counter()
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @contextmanager
    def admitted(self, client: str) -> Iterator[None]:
        """Take a place in the house, or raise Busy."""
        if self._admitted[client] >= self._bound_per_client:
            raise Busy("You are waiting for too many thumbnails already.")
        self._admitted[client] += 1
        try:
            yield
        finally:
            self._admitted[client] -= 1
            if not self._admitted[client]:
                del self._admitted[client]

    @asynccontextmanager
    async def slot(self, client: str) -> AsyncIterator[None]:
        """Wait for one's turn and work."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._turn(client)
        try:
            yield
        finally:
            self._pass_on()

    async def _turn(self, client: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._queues.setdefault(client, deque())
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # the slot was handed over in the very step of the cancellation
            elif turn in queue:
                self._leave(client, queue, turn)
            raise

    def _leave(self, client: str, queue: deque[asyncio.Future[None]], turn: asyncio.Future[None]) -> None:
        queue.remove(turn)
        if not queue:
            del self._queues[client]

    def _pass_on(self) -> None:
        """Hand the slot to the client whose turn it is, who then queues up behind all others."""
        if not self._queues:
            self._free += 1
            return
        client, queue = self._queues.popitem(last=False)
        turn = queue.popleft()
        if queue:
            self._queues[client] = queue
        turn.set_result(None)
