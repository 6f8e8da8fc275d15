"""Pictures that nobody has asked for yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from statistics import median, quantiles

from deploy.benchmarks.exhibits import Exhibit
from deploy.benchmarks.monitored import monitored
from deploy.benchmarks.stage import Server, Stage, WrongAnswerError
from deploy.benchmarks.table import Row

GENERATION_S = 0.1
CROWD = 500
COMMANDS = 8


@dataclass(frozen=True, slots=True)
class Misses:
    """One visitor, one picture after the other: the direct way, the least possible proxy, and ours."""

    stage: Stage
    count: int

    async def rows(self) -> AsyncIterator[Row]:
        """Measure what the gateway adds, with Redis and without, and what any proxy of aiohttp would."""
        bare, alone = await self.stage.start_bare(), await self.stage.start_gateway()
        ours = await self.stage.start_gateway(redis__url=self.stage.redis_url)
        share, exhibits = await self.stage.hang("cold", 5 * self.count, 20_000)
        taken_s: list[list[float]] = [[], [], [], []]
        for number, exhibit in enumerate(exhibits[: 4 * self.count]):
            one, url = [None, bare, alone, ours][number % 4], exhibit.public(share)
            took = _timed(self.stage, one.url + url, exhibit) if one else self._direct(share, exhibit)
            taken_s[number % 4].append(await took)
        async with monitored(self.stage.redis_url) as commands:
            for exhibit in exhibits[4 * self.count :]:
                await _timed(self.stage, ours.url + exhibit.public(share), exhibit)
        direct_ms, *proxied_ms = (median(taken) * 1000 for taken in taken_s)
        yield self._row("cold miss by the least proxy of aiohttp", proxied_ms[0], direct_ms)
        yield self._row("cold miss, against the direct two steps", proxied_ms[1], direct_ms, goal_ms=2)
        yield self._row("cold miss with Redis, against the direct two steps", proxied_ms[2], direct_ms, goal_ms=2)
        each = commands.count / self.count
        yield Row("commands to Redis per cold miss", f"{each:.1f}", goal=f"<= {COMMANDS}", is_reached=each <= COMMANDS)

    def _row(self, what: str, taken_ms: float, direct_ms: float, goal_ms: float | None = None) -> Row:
        return Row(
            what,
            f"{taken_ms:.2f} ms",
            f"direct {direct_ms:.2f} ms",
            f"+{taken_ms - direct_ms:.2f} ms",
            f"<= +{goal_ms} ms" if goal_ms else "",
            taken_ms - direct_ms <= goal_ms if goal_ms else None,
        )

    async def _direct(self, share: str, exhibit: Exhibit) -> float:
        """Do what a client does without us."""
        started, uri = time.perf_counter(), f"cloudreve://{share}@share/{exhibit.number}.png"
        asked = self.stage.session.get(f"{self.stage.cloudreve_url}/api/v4/file/thumb", params={"uri": uri})
        async with asked as response:
            url = (await response.json())["data"]["url"]
        return await _timed(self.stage, url, exhibit, started)


async def _timed(stage: Stage, url: str, exhibit: Exhibit, started: float | None = None) -> float:
    """Fetch a picture, and give the seconds since it was begun."""
    started = time.perf_counter() if started is None else started
    async with stage.session.get(url) as response:
        body = await response.read()
    taken_s = time.perf_counter() - started
    if body != exhibit.body:
        raise WrongAnswerError(f"{url}: {response.status}, {len(body)} bytes")
    return taken_s


@dataclass(frozen=True, slots=True)
class DistributedSingleflight:
    """Several gateways on one Redis, all asked for the same picture at once."""

    stage: Stage
    gateways: list[Server]
    count: int

    async def rows(self) -> AsyncIterator[Row]:
        """Measure how often Cloudreve is asked, and how late those hear who wait for another replica."""
        await self.stage.generation(GENERATION_S)
        yield await self._connection_limits()
        yield await self._waiters()
        await self.stage.generation(0.0)

    async def _connection_limits(self) -> Row:
        share, (exhibit,) = await self.stage.hang("crowd", 1, 20_000)
        await self.stage.calls()
        urls = [self.gateways[number % len(self.gateways)].url + exhibit.public(share) for number in range(CROWD)]
        await asyncio.gather(*(_timed(self.stage, url, exhibit) for url in urls))
        calls = await self.stage.calls()
        here = f"{calls['resolve']} and {calls['fetch']}"
        what = f"resolves and fetches, {CROWD} requests, {len(self.gateways)} replicas, 1 cold picture"
        return Row(what, here, goal="1 and 1", is_reached=here == "1 and 1")

    async def _waiters(self) -> Row:
        share, exhibits = await self.stage.hang("waited-for", self.count, 20_000)
        late_ms: list[float] = []
        for exhibit in exhibits:
            urls = [gateway.url + exhibit.public(share) for gateway in self.gateways]
            first, *others = sorted(await asyncio.gather(*(_timed(self.stage, url, exhibit) for url in urls)))
            late_ms += [(other - first) * 1000 for other in others]
        p99_ms = quantiles(late_ms, n=100)[-1]
        what = f"waiter's delay after the leader's end, p99 of {len(late_ms)} (median {median(late_ms):.1f} ms)"
        return Row(what, f"{p99_ms:.1f} ms", goal="<= 50 ms", is_reached=p99_ms <= 50)  # noqa: PLR2004
