"""Pictures that are at hand: in memory, in the visitor's own cache, in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from redis.asyncio import Redis

from deploy.benchmarks.browsers import COUNT, header_lines
from deploy.benchmarks.contest import Contest, Side
from deploy.benchmarks.load import Load
from deploy.benchmarks.sides import Pair, Sides
from deploy.benchmarks.stage import Server, Stage, WrongAnswerError
from deploy.benchmarks.table import Row

SIZES_KB = (2, 20, 100)
PAGE_KB = 20
TINY_BYTES = 1024 * 1024
TIMES = 10
"""Requests are drawn by chance: of so many for each, one in 360 comes less than three times."""
ANSWERS_BYTES = 48 * 1024 * 1024
"""Enough to know ten thousand requests again."""


@dataclass(frozen=True, slots=True)
class AlikeHits:
    """Pictures in memory, as a load tool asks for them: all requests alike."""

    sides: Sides
    load: Load
    rounds: int

    async def rows(self) -> AsyncIterator[Row]:
        """Measure hits of memory."""
        pairs = {size: await self.sides.public(size) for size in SIZES_KB}
        for size, pair in pairs.items():
            yield await self._fought(f"memory hit, {size} kB, alike", pair, 1.2 if size <= PAGE_KB else None)
        public, private = pairs[PAGE_KB], pairs[PAGE_KB].private(self.sides.bearer)
        yield await self._fought(f"memory hit, private, {PAGE_KB} kB, alike (nginx: auth_request)", private, 1.2)
        yield await self._fought("304, alike", await self.sides.known(public), None)
        yield await self._fought("304, private, alike (nginx: auth_request)", await self.sides.known(private), None)

    async def _fought(self, what: str, pair: Pair, goal: float | None) -> Row:
        return await Contest(what, pair.here, pair.there, goal).fought(self.sides.stage.session, self.load, self.rounds)


@dataclass(frozen=True, slots=True)
class RedisHits:
    """Many pictures, hardly any of which the gateway has in memory."""

    stage: Stage
    nginx: Server
    load: Load
    rounds: int
    count: int

    async def rows(self) -> AsyncIterator[Row]:
        """Measure hits of Redis, and what they ask of others."""
        share, exhibits = await self.stage.hang("many", self.count, 20_000)
        gateway = await self.stage.start_gateway(
            redis__url=self.stage.redis_url,
            redis__timeout_s="5",  # it shares its core with the load
            memory__max_bytes=str(TINY_BYTES),
            memory__max_answers_bytes=str(ANSWERS_BYTES),
        )
        here = Side(gateway, [exhibit.public(share) for exhibit in exhibits], exhibits)
        there = Side(self.nginx, [exhibit.plain for exhibit in exhibits], exhibits)
        await self.stage.calls()
        before = await self._commands()
        await self.stage.fill(here.server.url, here.paths)
        yield self._asked(
            f"calls per 1,000 misses over {self.count:,} pictures", await self._counted(before, self.count)
        )
        await self.stage.fill(there.server.url, there.paths)
        for _ in range(3):  # until the gateway knows the requests again
            await self.stage.fill(here.server.url, here.paths)
        before = await self._commands()
        await self.stage.calls()
        await self.stage.fill(here.server.url, here.paths)
        yield self._asked("calls per 1,000 hits of Redis", await self._counted(before, self.count))
        what = f"Redis hit over {self.count:,} pictures, 20 kB"
        browsers = replace(self.load, browsers=header_lines(is_proxied=False))
        await until_known(here, self.stage, self.load, self.count)
        contest = Contest(f"{what}, {COUNT:,} browsers (ratio of CPU time)", here, there, 0.4, is_by_cpu=True)
        yield await contest.fought(self.stage.session, browsers, self.rounds)
        alike = Contest(f"{what}, alike (ratio of CPU time)", here, there, 0.4, is_by_cpu=True)
        yield await alike.fought(self.stage.session, self.load, self.rounds)
        if any((await self.stage.calls()).values()):
            raise WrongAnswerError("Cloudreve was asked for what Redis has")

    async def _counted(self, before: int, requests: int) -> tuple[float, float]:
        cloudreve, commands = sum((await self.stage.calls()).values()), await self._commands()
        return cloudreve * 1000 / requests, (commands - before) * 1000 / requests

    async def _commands(self) -> int:
        """Count the commands that Redis has been sent."""
        async with Redis.from_url(self.stage.redis_url, protocol=2) as client:
            stats = await client.info("commandstats")
        return sum(stat["calls"] for name, stat in stats.items() if name != "cmdstat_info")

    def _asked(self, what: str, calls: tuple[float, float]) -> Row:
        return Row(what, f"Cloudreve {calls[0]:,.0f}, Redis {calls[1]:,.0f}")


async def until_known(side: Side, stage: Stage, load: Load, count: int) -> None:
    """Ask the way the load does until the gateway has seen nearly every one of so many requests three times."""
    asked = 0
    while asked < TIMES * count:
        asked += (await side.measure(stage.session, load))[0].requests
