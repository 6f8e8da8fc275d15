"""Concurrency towards Cloudreve, shared fairly: a client with ten thousand wishes takes turns with one who has one."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from proxy.domain.errors import Busy


@dataclass(slots=True)
class _Wish:
    """What is wanted, by whom, and its turns that have not come yet."""

    admissions: int = 0
    clients: dict[str, None] = field(default_factory=dict)
    turns: set[asyncio.Future[None]] = field(default_factory=set)


class FairLimit:
    """At most `slots` at work at once; who waits is served client by client, round robin.

    Of one client at most `bound_per_client` are admitted at once, so that it cannot fill the house either. Work that
    several clients want has its turn as soon as it would for any of them.
    """

    def __init__(self, slots: int, bound_per_client: int) -> None:
        self._free = slots
        self._bound_per_client = bound_per_client
        self._admitted: Counter[str] = Counter()
        self._wishes: dict[str, _Wish] = {}
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @contextmanager
    def admitted(self, client: str, name: str) -> Iterator[None]:
        """Take a place in the house for some work, or raise Busy."""
        if self._admitted[client] >= self._bound_per_client:
            raise Busy("You are waiting for too many thumbnails already.")
        self._admitted[client] += 1
        wish = self._wishes.setdefault(name, _Wish())
        wish.admissions += 1
        self.hurry(client, name)
        try:
            yield
        finally:
            wish.admissions -= 1
            if not wish.admissions:
                del self._wishes[name]
            self._admitted[client] -= 1
            if not self._admitted[client]:
                del self._admitted[client]

    def hurry(self, client: str, name: str) -> None:
        """Let work that another was admitted for count as this client's too."""
        wish = self._wishes.get(name)
        if wish is not None and client not in wish.clients:
            wish.clients[client] = None
            for turn in wish.turns:
                self._queues.setdefault(client, deque()).append(turn)

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator[None]:
        """Wait for the turn of work that has been admitted, and do it."""
        if self._free > 0:
            self._free -= 1
        else:
            await self._turn(self._wishes[name])
        try:
            yield
        finally:
            self._pass_on()

    async def _turn(self, wish: _Wish) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wish.turns.add(turn)
        for client in wish.clients:
            self._queues.setdefault(client, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._pass_on()  # the slot was handed over in the very step of the cancellation
            raise
        finally:
            wish.turns.discard(turn)
            for client in wish.clients:
                self._leave(client, turn)

    def _leave(self, client: str, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(client)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._queues[client]

    def _pass_on(self) -> None:
        """Hand the slot to the client whose turn it is, who then queues up behind all others."""
        while self._queues:
            client, queue = self._queues.popitem(last=False)
            turn = _first_of(queue)
            if queue:
                self._queues[client] = queue
            if turn is not None:
                return turn.set_result(None)
        self._free += 1
        return None


def _first_of(queue: deque[asyncio.Future[None]]) -> asyncio.Future[None] | None:
    """Take the next turn out; one that is done was served for another client, or its work was cancelled just now."""
    while queue:
        turn = queue.popleft()
        if not turn.done():
            return turn
    return None
