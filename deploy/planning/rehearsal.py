"""The same stream, for real: figures are measured, and a plan of a small site is held against what happens."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

from redis.asyncio import Redis

from deploy.benchmarks.exhibits import Exhibit
from deploy.benchmarks.stage import MEBI, Server, Stage
from deploy.planning.figures import Cost, Figures
from deploy.planning.simulation import Site, Tiers
from deploy.planning.stream import GALLERY, Traffic, Visit

SIZE_BYTES = 20_000
WITHIN_S = 3000.0
"""Of a grant's hour: the real run takes a minute, and none ends in it. All who sign in are one user there."""
_MEMORY = re.compile(rb"(?m)^thumb_proxy_memory_bytes ([0-9.e+]+)$")


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Gateways on one Redis, and what they are asked."""

    stage: Stage
    redis: Redis

    async def measured(self, count: int, times: int) -> Figures:
        """Measure what a request costs, by where its grant and its picture are."""
        share, exhibits = await self.stage.hang("figures", count, SIZE_BYTES)
        public, private = [e.public(share) for e in exhibits], [e.private for e in exhibits]
        first, empty = await self._gateway(256 * MEBI), await self._gateway(MEBI)
        base, held = first.process.memory_bytes, await self._held(first)
        cold = await self._cost([first], count, lambda: self._ask(first, public))
        kept = await self._held(first) - held
        grants, pictures = await self._sizes("g"), await self._sizes("p")
        once = await self._cost([first], count, lambda: self._ask(first, public))
        near = await self._cost([first], count * times, lambda: self._often(first, public, times))
        other = await self._cost([first], count, lambda: self._ask(first, private, self.stage.token))
        grant_near = await self._held(first) - held - kept
        shared = await self._cost([empty], count, lambda: self._ask(empty, public))
        far = await self._cost([empty], count * times, lambda: self._often(empty, public, times))
        return Figures(
            near,
            once,
            far, shared, other, cold,
            grants, pictures, grant_near / count, (kept - grant_near) / count, float(SIZE_BYTES), float(base),
        )  # fmt: skip

    async def checked(self, figures: Figures, traffic: Traffic, memory_bytes: int) -> list[tuple[str, float, float]]:
        """Replay one stream against two gateways and against the simulation; give names, planned and real numbers."""
        stream = traffic.stream(1, Random(5))  # noqa: S311 - the same stream every time
        visits = [visit._replace(identity=min(visit.identity, 1)) for visit in stream if visit.at_s < WITHIN_S]
        share, exhibits = await self.stage.hang("site", traffic.galleries * GALLERY, SIZE_BYTES)
        fronts = [await self._gateway(memory_bytes) for _ in range(2)]
        site, random = Site(len(fronts), memory_bytes), Random(9)  # noqa: S311
        tiers, turns = Tiers(site, figures), [random.randrange(len(fronts)) for _ in visits]
        wheres = [tiers.visit(visit, turn) for visit, turn in zip(visits, turns, strict=True)]
        await self.stage.calls()

        async def replay() -> None:
            for visit, turn in zip(visits, turns, strict=True):
                pages = exhibits[visit.gallery * GALLERY : (visit.gallery + 1) * GALLERY]
                await self._open(fronts[turn], visit, pages, share)

        real = await self._cost(fronts, len(visits) * GALLERY, replay)
        calls = await self.stage.calls()
        planned = sum((figures.cost(where) for where in wheres), Cost(0.0)) if wheres else Cost(0.0)
        each = len(visits)
        return [
            ("resolves", GALLERY * sum(w.grant == "cloudreve" for w in wheres), calls["resolve"]),
            ("fetches", GALLERY * sum(w.picture == "cloudreve" for w in wheres), calls["fetch"]),
            ("commands per request", planned.commands / each, real.commands),
            ("microseconds of a core per request", planned.gateway_us / each, real.gateway_us),
        ]

    async def _open(self, front: Server, visit: Visit, page: list[Exhibit], share: str) -> None:
        token = self.stage.token if visit.identity else ""
        await self._ask(front, [e.private if token else e.public(share) for e in page], token)

    async def _gateway(self, memory_bytes: int) -> Server:
        return await self.stage.start_gateway(
            redis__url=self.stage.redis_url, redis__timeout_s="5", memory__max_bytes=str(memory_bytes)
        )

    async def _ask(self, front: Server, paths: list[str], token: str = "") -> None:
        left = iter(paths)
        headers = {"Authorization": f"Bearer {token}"} if token else {}

        async def ask() -> None:
            for path in left:
                async with self.stage.session.get(front.url + path, headers=headers) as response:
                    await response.read()
                    response.raise_for_status()

        await asyncio.gather(*(ask() for _ in range(4)))

    async def _often(self, front: Server, paths: list[str], times: int) -> None:
        for _ in range(times):
            await self._ask(front, paths)

    async def _cost(self, fronts: list[Server], requests: int, work: Callable[[], Awaitable[None]]) -> Cost:
        """Do work, and give what each of its requests has cost."""
        before = sum(front.process.spent.total_s for front in fronts), *await self._redis_spent()
        await work()
        await asyncio.sleep(0.05)
        after = sum(front.process.spent.total_s for front in fronts), *await self._redis_spent()
        gateway_s, redis_s, commands = (late - early for late, early in zip(after, before, strict=True))
        return Cost(gateway_s / requests * 1e6, redis_s / requests * 1e6, commands / requests)

    async def _redis_spent(self) -> tuple[float, float]:
        cpu, stats = await self.redis.info("cpu"), await self.redis.info("commandstats")
        commands = sum(s["calls"] for name, s in stats.items() if name not in ("cmdstat_info", "cmdstat_memory|usage"))
        return cpu["used_cpu_user"] + cpu["used_cpu_sys"], float(commands)

    async def _sizes(self, kind: str) -> float:
        """Give the median of what Redis says an entry takes."""
        names = [name async for name in self.redis.scan_iter(match=f"*:{kind}:*", count=500)][:200]
        return median([await self.redis.memory_usage(name) or 0 for name in names])

    async def _held(self, front: Server) -> float:
        async with self.stage.session.get(f"{front.admin_url}/metrics") as response:
            found = _MEMORY.search(await response.read())
        return float(found[1]) if found else 0.0


@asynccontextmanager
async def rehearsal() -> AsyncIterator[Rehearsal]:
    """Start what is needed, and end it."""
    with TemporaryDirectory(prefix="thumb-proxy-capacity-") as folder:
        async with Stage(Path(folder), is_narrated=False) as stage:
            await stage.start_redis()
            async with Redis.from_url(stage.redis_url, protocol=2) as redis:
                yield Rehearsal(stage, redis)
