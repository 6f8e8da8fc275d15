"""The gateway against nginx: in turns, several rounds, every round checked."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

import aiohttp
from yarl import URL

from deploy.benchmarks.exhibits import Exhibit, Reply
from deploy.benchmarks.load import Load
from deploy.benchmarks.measured import Measured
from deploy.benchmarks.process import Spent
from deploy.benchmarks.stage import Server, WrongAnswerError
from deploy.benchmarks.table import Row

_SAMPLES = 50
_SAMPLE_S = 0.1
_HEAD_BYTES = 2000
"""A head is shorter."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of two servers, and how it is asked for the same pictures."""

    server: Server
    paths: Sequence[str]
    exhibits: Sequence[Exhibit | Reply]
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    credentials: Mapping[str, str] = field(default_factory=dict)
    """What is sent as well when answers are compared."""

    async def check(self, session: aiohttp.ClientSession, count: int) -> None:
        """Compare some answers with what they should be, byte for byte; raise WrongAnswerError."""
        for number in random.sample(range(len(self.paths)), min(count, len(self.paths))):
            url, headers = URL(self.server.url + self.paths[number], encoded=True), {**self.headers, **self.credentials}
            async with session.get(url, headers=headers) as response:
                body = await response.read()
            expected = self.exhibits[number].body if self.status == 200 else b""  # noqa: PLR2004
            if (response.status, body) != (self.status, expected):
                raise WrongAnswerError(f"{self.server.url}: {response.status}, {len(body)} bytes: {body[:80]!r}")

    async def measure(self, session: aiohttp.ClientSession, load: Load) -> tuple[Measured, Spent]:
        """Put the load on, and compare answers before, meanwhile and afterwards; give what it brought and cost."""
        await self.check(session, _SAMPLES)
        async with _sampled(self, session):
            before = self.server.process.spent
            measured = await load.put_on(self.server.url, self.paths, self.headers)
            spent = self.server.process.spent - before
        await self.check(session, _SAMPLES)
        least = min(exhibit.size_bytes for exhibit in self.exhibits) if self.status == 200 else 0  # noqa: PLR2004
        each = measured.received_bytes / max(measured.requests, 1)
        if measured.bad or not least <= each <= max(e.size_bytes for e in self.exhibits) + _HEAD_BYTES:
            raise WrongAnswerError(f"{self.server.url}: {measured}")
        return measured, spent


@dataclass(frozen=True, slots=True)
class Contest:
    """One line of the table: the gateway has to be so many times as fast as nginx."""

    what: str
    gateway: Side
    nginx: Side
    goal: float | None = None
    is_by_cpu: bool = False
    """Whether the ratio is that of CPU times: for a server that shares its core with the load."""

    async def fought(self, session: aiohttp.ClientSession, load: Load, rounds: int) -> Row:
        """Let both be asked in turn, nginx first."""
        rates: list[tuple[float, float]] = []
        costs: list[tuple[Spent, Spent]] = []
        for _ in range(rounds):
            there, there_spent = await self.nginx.measure(session, load)
            here, here_spent = await self.gateway.measure(session, load)
            rates.append((here.rate, there.rate))
            costs.append((here_spent.per(here.requests), there_spent.per(there.requests)))
        ratio = median(here / there for here, there in rates)
        if self.is_by_cpu:
            ratio = median(there.total_s / here.total_s for here, there in costs)
        return Row(
            what=self.what,
            here=f"{median(rate[0] for rate in rates):,.0f}/s",
            there=f"{median(rate[1] for rate in rates):,.0f}/s",
            ratio=f"{ratio:.2f}",
            goal=f">= {self.goal}" if self.goal else "",
            is_reached=ratio >= self.goal if self.goal else None,
            spent=", ".join(_told([both[side] for both in costs]) for side in range(2)),
        )


def _told(costs: Sequence[Spent]) -> str:
    """Write user and system time in microseconds."""
    return f"{median(each.user_s for each in costs) * 1e6:.1f} + {median(each.system_s for each in costs) * 1e6:.1f}"


@asynccontextmanager
async def _sampled(side: Side, session: aiohttp.ClientSession) -> AsyncIterator[None]:
    """Go on comparing meanwhile, now and then; what is wrong is raised at the end."""

    async def compare() -> None:
        while True:
            await side.check(session, 1)
            await asyncio.sleep(_SAMPLE_S)

    task = asyncio.create_task(compare())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        await task
