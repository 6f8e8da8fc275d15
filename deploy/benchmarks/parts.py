"""The parts of the benchmark: each is measured by itself, in any order."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import AsyncIterator, Iterable

from deploy.benchmarks.browser_hits import BrowserHits
from deploy.benchmarks.disk import DiskHits
from deploy.benchmarks.footprint import Footprint
from deploy.benchmarks.hits import AlikeHits, RedisHits
from deploy.benchmarks.load import Load
from deploy.benchmarks.misses import DistributedSingleflight, Misses
from deploy.benchmarks.profile import Profile
from deploy.benchmarks.real import Real
from deploy.benchmarks.sides import Sides
from deploy.benchmarks.stage import Stage
from deploy.benchmarks.table import Row

REPLICAS = 3
PARTS = {
    "answers": "finished answers in memory, 5,000 browsers x 40 public pictures",
    "public": "memory hits, 10 and 20 kB, 5,000 browsers, direct and behind a proxy",
    "private": "memory hits by bearer and by cookie, 5,000 browsers",
    "known": "304, public and private, 5,000 browsers",
    "sealed": "sealed URLs, and /api/v4/file/thumb, 5,000 browsers",
    "silent": "memory hits without a line per request",
    "varnish": "Varnish in the place of nginx, where it is installed",
    "workers": "requests per CPU second, two workers over one",
    "latency": "p50, p99 and p99.9 at half load",
    "alike": "requests that are all alike",
    "redis": "calls per miss and hit, and hits of Redis over 10,000 pictures",
    "disk": "disk hits over 10,000 pictures",
    "misses": "cold misses against the direct two steps",
    "replicas": "three gateways on one Redis, all asked for one cold picture",
    "memory": "what pictures take",
    "profile": "what a hit spends its time on",
}


class Parts:
    """Measures parts, and starts for each what it needs."""

    def __init__(self, stage: Stage, asked: Namespace) -> None:
        self._stage = stage
        self._asked = asked
        self._load = Load(asked.seconds)
        self.many = 300 if asked.quick else 10_000

    async def rows(self, names: Iterable[str]) -> AsyncIterator[Row]:
        """Measure one part after the other."""
        stage, rounds, is_quick = self._stage, self._asked.rounds, self._asked.quick
        nginx, gateway = await stage.start_nginx(), await stage.start_gateway()
        sides = Sides(stage, gateway, nginx)
        browsers = BrowserHits(sides, self._load, rounds)
        parts = {
            "answers": browsers.finished_answers,
            "public": browsers.public,
            "private": browsers.private,
            "known": browsers.known,
            "sealed": browsers.sealed,
            "silent": browsers.silent,
            "varnish": browsers.varnish,
            "workers": browsers.workers,
            "latency": browsers.latencies,
            "alike": AlikeHits(sides, self._load, rounds).rows,
            "redis": RedisHits(stage, nginx, self._load, rounds, self.many).rows,
            "disk": DiskHits(stage, nginx, self._load, rounds, self.many).rows,
            "misses": Misses(stage, 20 if is_quick else 300).rows,
            "replicas": self._replicas,
            "memory": Footprint(stage, self.many).rows,
            "profile": Profile(sides, self._load).rows,
        }
        for name in names:
            async for row in parts[name]():
                yield row
        if self._asked.cloudreve:
            async for row in Real(stage, self._asked.cloudreve.rstrip("/"), self._asked.uri).rows():
                yield row

    async def _replicas(self) -> AsyncIterator[Row]:
        stage = self._stage
        replicas = [await stage.start_gateway(redis__url=stage.redis_url) for _ in range(REPLICAS)]
        async for row in DistributedSingleflight(stage, replicas, 5 if self._asked.quick else 200).rows():
            yield row
