"""What happens to Redis, all the time."""

from __future__ import annotations

import asyncio
import time
from random import Random

from deploy.drills.leaks.findings import Findings
from deploy.drills.redis_process import RedisProcess

KINDS = ("stopped", "killed", "evicting", "full", "emptied")
LOSING = frozenset({"killed", "evicting", "emptied"})
"""After which Redis may have forgotten anything."""
_LONGEST_S = 3.0
_LITTLE = 2_000_000
"""What an empty server takes, and some pictures: it evicts all the time."""


async def trouble(redis: RedisProcess, random: Random, findings: Findings, until: float) -> None:
    """Let one thing after the other go wrong, with calm in between; leave it well."""
    while time.monotonic() < until:
        await asyncio.sleep(random.uniform(0.3, _LONGEST_S))
        findings.state = random.choice(KINDS)
        findings.note(f"Redis {findings.state}")
        await _happen(redis, findings.state, random.uniform(0.1, _LONGEST_S))
        if findings.state in LOSING:
            findings.lost_at = time.monotonic()
        findings.note("Redis well")
        findings.state = ""


async def _happen(redis: RedisProcess, kind: str, seconds: float) -> None:
    match kind:
        case "stopped":
            redis.stop()
            await asyncio.sleep(seconds)
            redis.go_on()
        case "killed":
            redis.kill()
            await asyncio.sleep(seconds)
            await redis.start()
        case "evicting":
            await redis.command("CONFIG SET maxmemory-policy allkeys-lru")
            await _limited(redis, _LITTLE, seconds)
        case "full":
            await redis.command("CONFIG SET maxmemory-policy noeviction")
            await _limited(redis, 1, seconds)
        case _:
            await redis.command("FLUSHALL")


async def _limited(redis: RedisProcess, most: int, seconds: float) -> None:
    await redis.command(f"CONFIG SET maxmemory {most}")
    await asyncio.sleep(seconds)
    await redis.command("CONFIG SET maxmemory 0")
