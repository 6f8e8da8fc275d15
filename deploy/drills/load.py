"""Visitors who ask without pause for what is at hand and what is not, and count what they are told."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from itertools import cycle

from deploy.drills.asking import Connection, Reply, question
from deploy.drills.cloudreve import Site

PAUSE_S = 0.01
"""Between an answer and the next question of the same visitor: the load is to be there, not to fill the machine."""
POLL_S = 0.01
PATIENCE_S = 20.0


class Kind(StrEnum):
    """What is asked for."""

    HOT = "hot"
    MINE = "mine"
    KNOWN = "known"
    COLD = "cold"
    GONE = "gone"
    STRANGE = "strange"


AT_HAND = frozenset({Kind.HOT, Kind.MINE, Kind.KNOWN})
"""What the gateway has, whatever happens to others."""
RIGHT = frozenset({"picture", "refusal", "later"})
GARBLED = frozenset({"bad gateway", "cut"})
"""What is as true where Cloudreve says something that is no answer, or breaks off in the middle of a picture."""
VISITORS = {Kind.HOT: 2, Kind.MINE: 1, Kind.KNOWN: 1, Kind.COLD: 3, Kind.GONE: 1, Kind.STRANGE: 1}


@dataclass
class Tally:
    """What was told, by what was asked for."""

    told: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    hits_s: list[float] = field(default_factory=list)
    again: int = 0

    def count(self, verdict: str, kinds: frozenset[Kind] = frozenset(Kind)) -> int:
        """Count the answers of one verdict."""
        return sum(count for (kind, told), count in self.told.items() if told == verdict and kind in kinds)

    def wrong(self, *, is_garbled: bool = False) -> dict[str, int]:
        """Give what nobody should have been told."""
        right = RIGHT | GARBLED if is_garbled else RIGHT
        return {f"{kind}: {told}": count for (kind, told), count in self.told.items() if told not in right}

    @property
    def slow_hit_s(self) -> float:
        """Give the time that 99 of 100 hits took at most."""
        return sorted(self.hits_s)[len(self.hits_s) * 99 // 100] if self.hits_s else 0.0


class Load:
    """Visitors at one gateway."""

    def __init__(self, port: int, site: Site) -> None:
        self.tally = Tally()
        self.is_over = False
        """The gateway has been told to leave: from now on connections may be refused, and those that wait closed."""
        self._port = port
        self._site = site
        self._cold: Iterator[str] = cycle(site.pictures[1:])
        self._numbers = iter(range(10**9))
        self._expected: dict[Kind, bytes] = {}
        self._etag = ""
        self._is_on = asyncio.Event()
        self._is_on.set()

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """Let nobody ask anything for a while."""
        self._is_on.clear()
        yield
        self._is_on.set()

    async def goes_on(self, hits: int, others: int) -> None:
        """Wait until so many more visitors have got what is at hand, and what is cold."""
        counts = [(frozenset({kind}), hits if kind in AT_HAND else others) for kind in (*AT_HAND, Kind.COLD)]
        goals = [(kinds, self._answers(kinds) + more) for kinds, more in counts]
        await self._until(lambda: all(self._answers(kinds) >= goal for kinds, goal in goals))

    async def recovers(self, pictures: int = 3) -> None:
        """Wait until pictures come again that were not at hand."""
        cold = frozenset({Kind.COLD})
        goal = self.tally.count("picture", cold) + pictures
        await self._until(lambda: self.tally.count("picture", cold) >= goal)

    async def visit(self, kind: Kind) -> None:
        """Ask for ever."""
        connection = Connection(self._port)
        try:
            while not self.is_over:
                started = time.perf_counter()
                verdict = await self._ask(connection, kind)
                if verdict is None:
                    return
                self.tally.told[kind, verdict] += 1
                if kind in AT_HAND:
                    self.tally.hits_s.append(time.perf_counter() - started)
                await asyncio.sleep(PAUSE_S)
                await self._is_on.wait()
        finally:
            self.tally.again += connection.again
            connection.close()

    async def warm(self) -> None:
        """Ask for what is to be at hand, and keep what it looks like."""
        connection = Connection(self._port)
        for kind in (Kind.HOT, Kind.MINE):
            for _ in range(3):
                reply = await connection.ask(self._question(kind))
                assert reply.is_picture, reply  # noqa: S101 - a drill begins when all is well
            self._expected[kind] = reply.body
            self._etag = re.findall(rb"(?i)\r\netag: *([^\r]*)", reply.head)[0].decode()
        connection.close()

    async def _ask(self, connection: Connection, kind: Kind) -> str | None:
        """Give the verdict on one answer; nothing when it may be missing."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                reply = await connection.ask(self._question(kind))
        except (OSError, EOFError) as error:
            connection.close()
            if self.is_over:
                return None
            return "cut" if connection.is_cut and kind not in AT_HAND else f"broken ({type(error).__name__})"
        return self._verdict(kind, reply)

    def _verdict(self, kind: Kind, reply: Reply) -> str:
        if kind is Kind.KNOWN:
            return "picture" if reply.status == HTTPStatus.NOT_MODIFIED else f"{reply.status}"
        if kind in AT_HAND:
            return "picture" if reply.is_picture and reply.body == self._expected[kind] else f"{reply.status}"
        if reply.is_later:
            return "later"
        if kind is Kind.COLD and reply.is_picture:
            return "picture"
        refusal = {Kind.GONE: 404, Kind.STRANGE: 401}.get(kind)
        return {refusal: "refusal", 502: "bad gateway"}.get(reply.status, str(reply.status))

    def _question(self, kind: Kind) -> bytes:
        uri = {
            Kind.COLD: lambda: next(self._cold),
            Kind.GONE: lambda: f"cloudreve://{self._site.share}@share/no-{next(self._numbers)}.png",
            Kind.STRANGE: lambda: f"cloudreve://my/no-{next(self._numbers)}.png",
            Kind.HOT: lambda: self._site.pictures[0],
        }.get(kind, lambda: "cloudreve://my/album/one.png")()
        fields = {"Authorization": f"Bearer {self._site.token}"} if kind in (Kind.MINE, Kind.KNOWN) else {}
        return question(uri, **fields | ({"If-None-Match": self._etag} if kind is Kind.KNOWN else {}))

    def _answers(self, kinds: frozenset[Kind]) -> int:
        return sum(count for (kind, _), count in self.tally.told.items() if kind in kinds)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(3 * PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(POLL_S)


@asynccontextmanager
async def loaded(port: int, site: Site) -> AsyncIterator[Load]:
    """Put a gateway under load."""
    load = Load(port, site)
    await load.warm()
    tasks = [asyncio.create_task(load.visit(kind)) for kind, count in VISITORS.items() for _ in range(count)]
    try:
        yield load
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if end is not None and not isinstance(end, asyncio.CancelledError):
            raise end
