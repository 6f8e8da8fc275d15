"""Commands of one tick of the event loop, sent together: 40,000 reads of 20 kB a second and core instead of 5,000."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script that takes many calls at once, each with so many keys, and gives a list of as many replies."""

    source: str
    keys: int


Word: TypeAlias = str | bytes | int | float | Script
"""A word of a command. A script stands first, before its keys and arguments; `requests_of` makes it `EVAL`."""

LARGEST_BATCH = 64
"""Commands sent together. More is hardly faster, and the first has to wait until the last has been answered."""

LINGER_S = 0.003
"""How long what nobody waits for may wait for company: a write for each costs more than all else about them."""

LAG_S = 0.02
"""A timer that comes later than this tells of a busy process."""
MOST_EXTENSIONS = 3
"""So often a batch is given its time once more for that reason."""


class _Nothing:
    """No reply."""


NOTHING: Final = _Nothing()


class Command:
    """One command. A caller that waits for the reply may leave freely."""

    __slots__ = ("reply", "unheard", "words")

    def __init__(self, words: tuple[Word, ...], unheard: Callable[[Any], None] | None = None) -> None:
        self.words = words
        self.unheard = unheard
        self.reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    @property
    def is_done(self) -> bool:
        """Tell whether nobody waits any more."""
        return self.reply.done()

    def deliver(self, reply: object) -> None:
        """Hand the reply over: to the caller that waits, or else to `unheard`, if it is one. Once is enough."""
        if not self.reply.done():
            self.reply.set_result(reply)
        elif self.unheard is not None and reply is not NOTHING:
            self.unheard(reply)

    async def outcome(self) -> Any:  # noqa: ANN401 - whatever Redis replies
        """Wait for the reply, or NOTHING."""
        try:
            return await self.reply
        except asyncio.CancelledError:
            if self.unheard is not None and not self.reply.cancelled() and self.reply.result() is not NOTHING:
                self.unheard(self.reply.result())
            raise


class Read:
    """A read of keys whose values are handed to a function as soon as they come: no task waits for them."""

    __slots__ = ("_receive", "is_done", "words")

    def __init__(self, keys: Sequence[str], receive: Callable[[Sequence[bytes | None]], None]) -> None:
        self.words: tuple[Word, ...] = ("MGET", *keys)
        self.is_done = False
        self._receive = receive

    def deliver(self, reply: object) -> None:
        """Hand the values over, each None where there is none. Once is enough."""
        if not self.is_done:
            self.is_done = True
            self._receive(reply if isinstance(reply, list) else [None] * (len(self.words) - 1))


Item: TypeAlias = Command | Read
T = TypeVar("T", Command, Read)


class _Batch:
    """Items, and a timer that lets nobody wait too long for any of them."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.is_due = False
        self.sent: asyncio.Future[Any] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.extensions = 0

    def end(self) -> None:
        """Let go of all callers that still wait."""
        if self.timer is not None:
            self.timer.cancel()
        for item in self.items:
            item.deliver(NOTHING)


class CommandBatches:
    """Gathers commands until the end of the tick, and further while every connection has a batch under way."""

    def __init__(
        self,
        send: Callable[[list[Item]], asyncio.Future[Any]],
        max_batches: int,
        timeout_s: float,
        late: Callable[[asyncio.Future[Any] | None], None],
    ) -> None:
        self._send = send
        self._max_batches = max_batches
        self._timeout_s = timeout_s
        self._late = late
        self._gathered: deque[_Batch] = deque()
        self._under_way = 0

    def add(self, item: T, *, is_urgent: bool = True) -> T:
        """Have an item sent, unless nobody waits for it any more when its time comes.

        One that is not urgent goes with the next that is, if there is one soon.
        """
        loop = asyncio.get_running_loop()
        if not self._gathered or len(self._gathered[-1].items) >= LARGEST_BATCH:
            self._gathered.append(_Batch())
            self._wind_up(self._gathered[-1])
            if not is_urgent:
                loop.call_later(LINGER_S, self.flush)
        batch = self._gathered[-1]
        batch.items.append(item)
        if is_urgent and not batch.is_due:
            batch.is_due = True
            loop.call_soon(self.flush)
        return item

    def flush(self) -> None:
        """Send batches while there are connections for them."""
        while self._gathered and self._under_way < self._max_batches:
            batch = self._gathered.popleft()
            wanted = [item for item in batch.items if not item.is_done]
            if wanted:
                self._under_way += 1
                batch.sent = self._send(wanted)
                batch.sent.add_done_callback(partial(self._arrive, batch))
            else:
                batch.end()

    def _arrive(self, batch: _Batch, _: asyncio.Future[Any]) -> None:
        self._under_way -= 1
        batch.end()
        self.flush()

    def _wind_up(self, batch: _Batch) -> None:
        loop = asyncio.get_running_loop()
        due_at = loop.time() + self._timeout_s
        batch.timer = loop.call_at(due_at, self._give_up, batch, due_at)

    def _give_up(self, batch: _Batch, due_at: float) -> None:
        """Let nobody wait any longer; replies that still come are read and dropped.

        A timer that comes late says that it was this process that had no time: the reply may be here, unread.
        """
        lag_s = asyncio.get_running_loop().time() - due_at
        if lag_s > LAG_S and batch.extensions < MOST_EXTENSIONS:
            batch.extensions += 1
            self._wind_up(batch)
            return
        if any(not item.is_done for item in batch.items):
            self._late(batch.sent)
        batch.end()


class Request(NamedTuple):
    """A command as it goes to Redis, and the receiver of its reply."""

    words: tuple[Word, ...]
    receive: Callable[[Any], None]


def requests_of(items: Sequence[Item], *, is_shard: bool) -> list[Request]:
    """Put reads together, and calls of one script between which there is no other command, so that writes keep order.

    In a cluster one command may not name several slots: there only reads of one key go together.
    """
    readers: dict[str, list[Item]] = {}
    called: dict[Script, list[Item]] = {}
    writes: list[list[Item]] = []
    for item in items:
        script = item.words[0]
        if script == "GET":
            readers.setdefault(str(item.words[1]), []).append(item)
        elif isinstance(script, Script) and script in called:
            called[script].append(item)
        else:
            writes.append([item])
            if isinstance(script, Script) and not is_shard:
                called[script] = writes[-1]
            else:
                called.clear()
    groups = [[key] for key in readers] if is_shard else [[*readers]] if readers else []
    reads = [Request(("MGET", *keys), partial(_spread, [readers[key] for key in keys])) for keys in groups]
    return [_write(some) for some in writes] + reads


def _write(items: list[Item]) -> Request:
    """Make a request of one command, or of calls of one script."""
    script = items[0].words[0]
    if not isinstance(script, Script):
        return Request(items[0].words, items[0].deliver)
    keys = [key for item in items for key in item.words[1 : script.keys + 1]]
    arguments = [word for item in items for word in item.words[script.keys + 1 :]]
    return Request(("EVAL", script.source, len(keys), *keys, *arguments), partial(_spread, [[item] for item in items]))


def _spread(readers: list[list[Item]], values: Sequence[object]) -> None:
    for waiting, value in zip(readers, values, strict=True):
        for item in waiting:
            item.deliver(NOTHING if isinstance(value, Exception) else value)
