"""Answers known before whose pictures are in Redis: those that are asked for in one loop tick are read together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from proxy.cache.tiers import Tiers
from proxy.domain.source import Source
from proxy.fastpath.date_field import DateField
from proxy.fastpath.entry import FinishedAnswer, HeadAndBody
from proxy.fastpath.recalls import Recalls
from proxy.upstream.clock import Clock

TOGETHER = 64
"""So many pictures are read by one command at most: the first waits until the last has come."""


class Read(NamedTuple):
    """The circumstances of a read, the same for all values of one command."""

    seconds: float
    """How long it took."""
    deletions: int
    """How many deletions the tiers had counted before."""
    now: float
    """When the value was read, on Cloudreve's clock."""
    our_time: float
    """The same on this machine's clock, for the log."""
    date: bytes
    """The same as the last line of a head (`DateField`)."""


Answer: TypeAlias = Callable[[FinishedAnswer, bytes | None, Read], HeadAndBody | None]
Receive: TypeAlias = Callable[[bytes, Answer, FinishedAnswer, bytes | None, Read], None]
"""Takes a request, the function that makes its answer (`RedisHits.answer`), and the arguments of that."""


class _Asked(NamedTuple):
    """A request that waits for a value of Redis, and the function that takes the value."""

    name: str
    """The value's in Redis."""
    known: FinishedAnswer
    raw: bytes
    receive: Receive


class RedisHits:
    """Gives answers with pictures from Redis, without a task and without parsing what was read before."""

    def __init__(
        self,
        stands: Callable[[FinishedAnswer, float], bool],
        tiers: Tiers,
        recalls: Recalls,
        clock: Clock,
        ttl_s: float,
    ) -> None:
        """Take `stands`, which tells whether an answer still counts."""
        self._stands = stands
        self._tiers = tiers
        self._memory = tiers.memory
        self._recalls = recalls
        self._ttl_s = ttl_s
        self._now, self._ours = clock.now, clock.ours
        self._today = DateField()
        self._asked: list[_Asked] = []

    def ask(self, known: FinishedAnswer, raw: bytes, receive: Receive) -> bool:
        """Have the value of a picture read, and handed over with the request; tell whether it will be."""
        shared = known.shared
        if shared is None or known.picture_key in self._memory:
            return False
        self._asked.append(_Asked(shared.name, known, raw, receive))
        if len(self._asked) == 1:
            asyncio.get_running_loop().call_soon(self._read)
        return True

    def answer(self, known: FinishedAnswer, value: bytes | None, read: Read) -> HeadAndBody | None:
        """Give the answer with a value that was read, and count it; None where it goes the long way."""
        shared = known.shared
        body = shared.body(value) if shared is not None and value is not None else None
        if shared is None or body is None:
            known.shared = None
            return None
        if not self._stands(known, read.now):
            return None
        if self._recalls.come_again(known.picture_key):
            picture = shared.picture(body)
            known.show(picture)
            self._tiers.promote(known.picture_key, picture, self._ttl_s, "", Source.REDIS, deletions=read.deletions)
        provenance = known.provenances.redis
        sent = body if known.has_body else b""
        provenance.tally.add(read.seconds, len(sent))
        if known.log_line is not None:
            known.log_line.in_batch(read.seconds * 1000, read.our_time)
        return known.head_for(read.now, read.date, provenance), sent

    def _read(self) -> None:
        """Have all read that was asked for in this tick."""
        asked, self._asked = self._asked, []
        for first in range(0, len(asked), TOGETHER):
            some = asked[first : first + TOGETHER]
            names = [one.name for one in some]
            deliver = partial(self._deliver, some, time.perf_counter(), self._tiers.deletions)
            try:
                self._tiers.read_soon(names, deliver)
            except Exception as error:  # noqa: BLE001 - nobody may be left waiting
                _report(error)
                deliver([None] * len(names))

    def _deliver(
        self, asked: Sequence[_Asked], asked_at: float, deletions: int, values: Sequence[bytes | None]
    ) -> None:
        ours = self._ours()
        read = Read(time.perf_counter() - asked_at, deletions, self._now(), ours, self._today(ours))
        for (_, known, raw, receive), value in zip(asked, values, strict=True):
            try:
                receive(raw, self.answer, known, value, read)
            except Exception as error:  # noqa: BLE001 - it is one request's own
                _report(error)


def _report(error: Exception) -> None:
    about = {"message": "an answer with a picture from Redis", "exception": error}
    asyncio.get_running_loop().call_exception_handler(about)
