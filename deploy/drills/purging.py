"""`deploy/purging`: how long a purge of one folder takes among many entries, over several replicas."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp

from deploy.drills.asking import Connection, Reply, question
from deploy.drills.gateway import Gateway
from deploy.drills.redis_process import RedisProcess
from deploy.drills.until_told import until_told
from proxy.cache.redis_tier import RedisTier
from proxy.domain.grant import Grant
from proxy.settings import RedisSettings
from proxy.standin.library import Account
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn

REPLICAS = 3
DESCRIPTORS = 4096
GOAL_S = 1.0
LASTS_S = 3600.0
AT_ONCE = 64


@dataclass
class Stage:
    """Replicas with two folders that each of them knows, among many other entries."""

    gateways: list[Gateway]
    redis: RedisProcess
    owner: Account
    token: str
    count: int
    """Pictures in each folder."""

    def uris(self, folder: str) -> list[str]:
        """List a folder."""
        return [f"cloudreve://{self.owner.id}@my/{folder}/{number}.png" for number in range(self.count)]

    async def see(self, gateway: Gateway, folder: str, start: int = 0, step: int = 1) -> list[Reply]:
        """Ask for pictures of a folder, for each or for every so many."""
        connection = Connection(gateway.port)
        try:
            return [
                await connection.ask(question(uri, Authorization=f"Bearer {self.token}"))
                for uri in self.uris(folder)[start::step]
            ]
        finally:
            connection.close()

    async def entries(self) -> int:
        """Count what Redis holds."""
        return int((await self.redis.command("DBSIZE")).strip(b":\r\n"))


@asynccontextmanager
async def staged(folder: Path, entries: int, pictures: int) -> AsyncIterator[Stage]:
    """Start everything, and fill Redis."""
    async with AsyncExitStack() as stack:
        redis = RedisProcess(folder)
        await redis.start()
        stack.callback(redis.kill)
        cloudreve = await stack.enter_async_context(StandIn())
        library = cloudreve.library
        for name in ("purged", "kept"):
            for number in range(pictures):
                body = paint(number if name == "purged" else -number - 1, 8, 6)
                library.put(library.alice, f"/{name}/{number}.png", thumbnail=body)
        await _fill(redis.url, cloudreve.own_url, entries)
        settings = {"REDIS__URL": redis.url, "LOG__REQUESTS": "errors", "PICTURES__FORMATS": "[]"}
        gateways = [
            Gateway(cloudreve.own_url, folder / f"gateway-{n}.log", DESCRIPTORS, **settings) for n in range(REPLICAS)
        ]
        for gateway in gateways:
            stack.callback(gateway.kill)
            await gateway.start()
        yield Stage(gateways, redis, library.alice, cloudreve.token(life_s=86400.0), pictures)


async def _fill(redis_url: str, site: str, entries: int) -> None:
    """Keep grants of others in Redis."""
    tier = RedisTier.from_settings(RedisSettings.model_validate({"url": redis_url, "timeout_s": 30.0}), site)
    for start in range(0, entries, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, entries))
        await asyncio.gather(*(tier.set(f"g:{n:032x}", Grant("u", 4e9, f"{n}", own=True), LASTS_S) for n in numbers))
    await tier.aclose()


async def purge(gateway: Gateway, prefix: str) -> tuple[float, dict[str, Any]]:
    """Purge a folder; give the seconds that it took, and what it has ended."""
    url = f"http://127.0.0.1:{gateway.admin_port}/purge"
    async with aiohttp.ClientSession() as session:
        started = time.monotonic()
        async with session.post(url, json={"prefix": prefix}) as response:
            told: dict[str, Any] = json.loads(await response.read())
        return time.monotonic() - started, told


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one purge."""

    seconds: float
    entries: int
    told: dict[str, Any]
    dropped: int
    """By how many Redis holds less."""
    hits: int
    """Pictures of the other folder that every replica still had at hand."""
    stale: int
    """Pictures of the purged folder that some replica still had at hand."""


def is_hit(reply: Reply) -> bool:
    """Tell whether an answer comes out of a cache altogether."""
    return b"\r\ncache-status: thumb-proxy; hit" in reply.head.lower()


async def drill(entries: int, pictures: int) -> Outcome:
    """Let all replicas know both folders, purge one, and look at both once more."""
    with TemporaryDirectory(prefix="thumb-proxy-purging-") as folder:
        async with staged(Path(folder), entries, pictures) as stage:
            for name in ("purged", "kept"):
                for gateway in stage.gateways * 3:
                    await stage.see(gateway, name)
            before = await stage.entries()
            seconds, told = await purge(stage.gateways[0], f"cloudreve://{stage.owner.id}@my/purged")
            dropped = before - await stage.entries()
            kept = [await stage.see(gateway, "kept") for gateway in stage.gateways]
            gone = [await stage.see(gateway, "purged", n, REPLICAS) for n, gateway in enumerate(stage.gateways)]
            hits, stale = (sum(map(is_hit, chain(*replies))) for replies in (kept, gone))
            return Outcome(seconds, before, told, dropped, hits, stale)


def _told(outcome: Outcome, asked: Namespace) -> int:
    told = ", ".join(f"{value} {name}" for name, value in outcome.told.items() if isinstance(value, int))
    size = f"{asked.pictures:,} pictures among {outcome.entries:,} entries, {REPLICAS} replicas"
    lines = (
        f"purge of {size}: {outcome.seconds:.2f} s",
        f"it says: {told}; Redis holds {outcome.dropped:,} entries less",
        f"hits after it: {outcome.stale} of the folder, {outcome.hits:,} of another one",
    )
    print("\n".join(lines))  # noqa: T201 - what it is for
    is_good = outcome.seconds <= GOAL_S and not outcome.stale and outcome.hits == REPLICAS * asked.pictures
    return 0 if is_good and outcome.dropped == asked.pictures else 1


def main() -> int:
    """Read the command line, and do as it says; 1 when it took too long, or touched anything else."""
    parser = ArgumentParser(prog="deploy/purging", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", type=int, default=100_000, help="other entries in Redis (100,000)")
    parser.add_argument("--pictures", type=int, default=500, help="in the folder, and in another one (500)")
    asked = parser.parse_args()
    return _told(asyncio.run(until_told(drill(asked.entries, asked.pictures))), asked)


if __name__ == "__main__":
    sys.exit(main())
