"""Memory: what pictures take, and whether it stays within its bound."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from deploy.benchmarks.load import Load
from deploy.benchmarks.measured import Measured
from deploy.benchmarks.stage import MEBI, Server, Stage
from deploy.benchmarks.table import Row

SOAK_BOUND_BYTES = 64 * MEBI
SOAK_ANSWERS_BYTES = 4 * MEBI
SOAK_SIZES = (2_000, 20_000, 100_000)
STEPS = 12
_GAUGE = re.compile(rb"(?m)^thumb_proxy_(finished_answers|memory_bytes|tasks) ([0-9.e+]+)$")


@dataclass(frozen=True, slots=True)
class Footprint:
    """One gateway with room for all pictures."""

    stage: Stage
    count: int

    async def rows(self) -> AsyncIterator[Row]:
        """Measure what pictures take beside their bytes."""
        share, exhibits = await self.stage.hang("kept", self.count, 20_000)
        gateway = await self.stage.start_gateway(memory__max_bytes=str(1024 * MEBI), redis__url="")
        await self.stage.fill(gateway.url, [exhibit.public(share) for exhibit in exhibits[: self.count // 50]])
        before, counted_before = gateway.process.memory_bytes, (await gauges(self.stage, gateway))["memory_bytes"]
        await self.stage.fill(gateway.url, [exhibit.public(share) for exhibit in exhibits])
        taken = gateway.process.memory_bytes - before
        counted = (await gauges(self.stage, gateway))["memory_bytes"] - counted_before
        added = len(exhibits) - self.count // 50
        each = taken / added
        yield Row(
            f"memory per {self.count:,} pictures of 20 kB",
            f"{each * self.count / MEBI:,.0f} MiB",
            f"counted {counted / added * self.count / MEBI:,.0f} MiB",
            f"{taken / counted:.2f}",
            "within 10 %",
            abs(taken / counted - 1) <= 0.1,  # noqa: PLR2004
        )


async def gauges(stage: Stage, gateway: Server) -> dict[str, float]:
    """Read what a gateway says of itself."""
    async with stage.session.get(f"{gateway.admin_url}/metrics") as response:
        text = await response.read()
    return {name.decode(): float(value) for name, value in _GAUGE.findall(text)}


@dataclass(frozen=True, slots=True)
class Soak:
    """Load for minutes or hours: pictures of all sizes, many times more than there is room for."""

    stage: Stage
    minutes: float
    count: int

    async def rows(self) -> AsyncIterator[Row]:
        """Watch memory, descriptors and tasks; give a line now and then. The first gateway has next to no cache."""
        paths = [path for number, size in enumerate(SOAK_SIZES) for path in await self._hung(number, size)]
        load = Load(max(1.0, self.minutes * 60 / STEPS), delay_ms=20, connections=64)
        empty = await self._gateway(MEBI)
        await self.stage.fill(empty.url, paths)
        await load.put_on(empty.url, paths)
        base, gateway = empty.process.memory_bytes, await self._gateway(SOAK_BOUND_BYTES)
        until = time.monotonic() + self.minutes * 60
        while time.monotonic() < until:
            measured = await load.put_on(gateway.url, paths)
            yield await self._seen(gateway, base, measured)

    async def _gateway(self, max_bytes: int) -> Server:
        return await self.stage.start_gateway(
            redis__url=self.stage.redis_url,
            memory__max_bytes=str(max_bytes),
            memory__max_answers_bytes=str(SOAK_ANSWERS_BYTES),
        )

    async def _hung(self, number: int, size_bytes: int) -> list[str]:
        share, exhibits = await self.stage.hang(f"soak-{number}", self.count // len(SOAK_SIZES), size_bytes)
        return [exhibit.public(share) for exhibit in exhibits]

    async def _seen(self, gateway: Server, base: int, measured: Measured) -> Row:
        await asyncio.sleep(1)  # what is under way may end
        told, taken = await gauges(self.stage, gateway), gateway.process.memory_bytes - base
        bound = SOAK_BOUND_BYTES - MEBI
        seen = f"{gateway.process.descriptors} descriptors, {told['tasks']:.0f} tasks"
        return Row(
            f"soak: {measured.requests:,} requests, {measured.bad} bad, {seen}",
            f"{taken / MEBI:.1f} MiB",
            f"bound {bound / MEBI:.0f} MiB",
            f"{taken / bound:.2f}",
            "<= 1.1, flat",
            taken <= 1.1 * bound and not measured.bad,
        )
