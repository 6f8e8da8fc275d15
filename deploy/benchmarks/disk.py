"""Pictures that are on disk: the gateway's tier against nginx's cache, both on the same one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from deploy.benchmarks.browsers import COUNT, header_lines
from deploy.benchmarks.contest import Contest, Side
from deploy.benchmarks.hits import ANSWERS_BYTES, TINY_BYTES, until_known
from deploy.benchmarks.load import Load
from deploy.benchmarks.port import free_port
from deploy.benchmarks.stage import Server, Stage, WrongAnswerError
from deploy.benchmarks.table import Row

SIZES_KB = (10, 20)


@dataclass(frozen=True, slots=True)
class DiskHits:
    """Many pictures, hardly any of which the gateway has in memory."""

    stage: Stage
    nginx: Server
    load: Load
    rounds: int
    count: int

    async def rows(self) -> AsyncIterator[Row]:
        """Measure hits of the disk, and a restart."""
        for size_kb in SIZES_KB:
            yield await self._hits(size_kb)

    async def _hits(self, size_kb: int) -> Row:
        share, exhibits = await self.stage.hang(f"disk-{size_kb}", self.count, size_kb * 1000)
        settings = {
            "disk__path": str(self.stage.folder / f"cache-{free_port()}"),
            "seal__keys": "0123456789abcdef" * 4,
            "memory__max_bytes": str(TINY_BYTES),
            "memory__max_answers_bytes": str(ANSWERS_BYTES),
        }
        gateway = await self.stage.start_gateway(**settings)
        here = Side(gateway, [exhibit.public(share) for exhibit in exhibits], exhibits)
        there = Side(self.nginx, [exhibit.plain for exhibit in exhibits], exhibits)
        for side in (here, there):
            await self.stage.fill(side.server.url, side.paths)
        await self.stage.calls()
        browsers = replace(self.load, browsers=header_lines(is_proxied=False))
        await until_known(here, self.stage, browsers, self.count)
        what = f"disk hit over {self.count:,} pictures of {size_kb} kB, {COUNT:,} browsers"
        row = await Contest(what, here, there, 0.6).fought(self.stage.session, browsers, self.rounds)
        if any((await self.stage.calls()).values()):
            raise WrongAnswerError("Cloudreve was asked for what the disk has")
        return row
