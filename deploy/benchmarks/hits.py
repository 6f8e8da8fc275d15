"""Pictures that are at hand: in memory, in the visitor's own cache, in Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from math import ceil

from redis.asyncio import Redis

from deploy.benchmarks.browsers import COUNT, header_lines
from deploy.benchmarks.contest import Contest, Side
from deploy.benchmarks.load import Load
from deploy.benchmarks.measured import Measured
from deploy.benchmarks.stage import Server, Stage, WrongAnswerError
from deploy.benchmarks.table import Row

SIZES_KB = (2, 20, 100)
PAGE_SIZES_KB = (10, 20)
PICTURES = 40
DELAY_MS = 10
TINY_BYTES = 1024 * 1024
TIMES = 6
"""Requests are drawn by chance: of so many for each, one in 16 comes less than three times."""
ANSWERS_BYTES = 32 * 1024 * 1024
"""Enough to know ten thousand requests again."""


@dataclass(frozen=True, slots=True)
class Hits:
    """Everything that needs no Cloudreve."""

    stage: Stage
    nginx: Server
    gateway: Server
    load: Load
    rounds: int

    async def rows(self) -> AsyncIterator[Row]:
        """Measure hits of memory."""
        async for row in self._of_browsers():
            yield row
        sides = {size: await self._sides(size) for size in SIZES_KB}
        for size, (here, there) in sides.items():
            goal = 0.5 if size == 20 else None  # noqa: PLR2004
            yield await self._fought(Contest(f"memory hit, {size} kB, alike", here, there, goal))
        here, there = sides[20]
        mine = {"Authorization": f"Bearer {self.stage.token}"}
        private = replace(here, paths=[here.exhibits[0].private], headers=mine)
        guarded = replace(there, paths=[there.paths[0].replace("/plain/", "/private/")], headers=mine)
        yield await self._fought(
            Contest("memory hit, private, 20 kB, alike (nginx: auth_request)", private, guarded, 1.0)
        )
        contest = Contest("304, alike", await self._known(here), await self._known(there), 0.4)
        yield await self._fought(contest)
        contest = Contest(
            "304, private, alike (nginx: auth_request)", await self._known(private), await self._known(guarded)
        )
        yield await self._fought(contest)
        for row in await self._latencies(here, there):
            yield row

    async def _of_browsers(self) -> AsyncIterator[Row]:
        """Measure what 5,000 browsers see, each of which says other things about itself."""
        for size_kb in PAGE_SIZES_KB:
            here, there = await self._sides(size_kb, PICTURES)
            for where, is_proxied in (("direct", False), ("behind a proxy", True)):
                load = replace(self.load, browsers=header_lines(is_proxied=is_proxied))
                contest = Contest(
                    f"memory hit, {PICTURES} pictures of {size_kb} kB, {COUNT:,} browsers, {where}", here, there, 1.0
                )
                yield await contest.fought(self.stage.session, load, self.rounds)
        load = replace(self.load, browsers=header_lines(is_proxied=False))
        size_kb = PAGE_SIZES_KB[0]
        here, there = await self._sides(size_kb, PICTURES)
        mine = {"Authorization": f"Bearer {self.stage.token}"}
        private = replace(here, paths=[exhibit.private for exhibit in here.exhibits], headers=mine)
        guarded = replace(there, paths=[path.replace("/plain/", "/private/") for path in there.paths], headers=mine)
        what = f"memory hit, private, {PICTURES} pictures of {size_kb} kB, {COUNT:,} browsers (nginx: auth_request)"
        yield await Contest(what, private, guarded, 1.2).fought(self.stage.session, load, self.rounds)
        here, there = await self._sides(size_kb)
        here, there = await self._known(here), await self._known(there)
        yield await Contest(f"304, {COUNT:,} browsers", here, there, 1.0).fought(self.stage.session, load, self.rounds)

    async def _fought(self, contest: Contest) -> Row:
        return await contest.fought(self.stage.session, self.load, self.rounds)

    async def _sides(self, size_kb: int, count: int = 1) -> tuple[Side, Side]:
        share, exhibits = await self.stage.hang(f"hot-{size_kb}-{count}", count, size_kb * 1000)
        here = Side(self.gateway, [exhibit.public(share) for exhibit in exhibits], exhibits)
        return here, Side(self.nginx, [exhibit.plain for exhibit in exhibits], exhibits)

    async def _known(self, side: Side) -> Side:
        """Make the same side be asked by who has the picture already."""
        async with self.stage.session.get(side.server.url + side.paths[0], headers=side.headers) as response:
            etag = response.headers["ETag"]
        return replace(side, headers={**side.headers, "If-None-Match": etag}, status=304)

    async def _latencies(self, *sides: Side) -> list[Row]:
        """Ask each half as fast as it can answer."""
        found = [await self._at_half_load(side) for side in sides]
        names = ("p50_ms", "p99_ms", "p999_ms")
        titles = ("p50", "p99", "p99.9")
        rates = ", ".join(f"{measured.rate:,.0f}/s" for measured in found)
        rows = []
        for title, name in zip(titles, names, strict=True):
            here, there = (f"{getattr(measured, name):.2f} ms" for measured in found)
            rows.append(Row(f"{title} at half load ({rates}), 20 kB", here, there))
        return rows

    async def _at_half_load(self, side: Side) -> Measured:
        full, _ = await side.measure(self.stage.session, self.load)
        connections = max(1, ceil(full.rate / 2 * DELAY_MS / 1000))
        half = replace(self.load, connections=connections, delay_ms=DELAY_MS)
        return (await side.measure(self.stage.session, half))[0]


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
        contest = Contest(f"{what}, {COUNT:,} browsers", here, there, 0.4)
        yield await contest.fought(self.stage.session, browsers, self.rounds)
        yield await Contest(f"{what}, alike", here, there, 0.2).fought(self.stage.session, self.load, self.rounds)
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
