"""A drill from its beginning to its end: rounds of two fresh replicas each, everybody acting at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import aiohttp

from deploy.drills.leaks.findings import Findings
from deploy.drills.leaks.judge import Judge
from deploy.drills.leaks.owners import Owner
from deploy.drills.leaks.sessions import Sessions
from deploy.drills.leaks.site import RealSite, Site, see
from deploy.drills.leaks.stage import PUBLISHED, ROUNDS, Stage, staged
from deploy.drills.leaks.standin_site import StandInSite
from deploy.drills.leaks.troubles import trouble
from deploy.drills.leaks.truth import Truth
from deploy.drills.leaks.visitors import Visitor
from deploy.drills.redis_process import RedisProcess
from proxy.standin.standin import StandIn

SEALED_ROUTE = "/thumb/s/{sealed}"
VISITORS = 8
OWNER_PAUSE_S = 0.4
RESTART_S = 20.0
SESSION_PAUSE_S = 0.1
"""The longest that somebody rests between two acts."""


async def play(findings: Findings, url: str | None, seconds: float, round_s: float, seed: int) -> None:
    """Carry the drill out on the Cloudreve at an address, or on the stand-in."""
    random = Random(seed)  # noqa: S311 - choices, not secrets
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="thumb-proxy-leaks-")))
        connector = aiohttp.TCPConnector(limit=0)
        session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        http = await stack.enter_async_context(session)
        site = await stack.enter_async_context(_site(url, http))
        redis = RedisProcess(folder)
        await redis.start()
        stack.callback(redis.kill)
        truth = Truth(next(iter(site.users)), PUBLISHED)
        numbers = count(1)
        owners = [Owner(name, truth, random, findings, numbers) for name in site.users]

        async def ask_cloudreve(who: str, uri: str) -> int:
            return await see(http, site, who, uri)

        judge = Judge(truth, ask_cloudreve, findings)
        ends, number = time.monotonic() + seconds, 0
        while time.monotonic() < ends:
            async with staged(site, http, redis, folder, ROUNDS[number % len(ROUNDS)]) as stage:
                if number == 0:
                    await asyncio.gather(*(owner.settle(stage) for owner in owners))
                    ends = time.monotonic() + seconds
                until = min(ends, time.monotonic() + round_s)
                await _round(stage, owners, judge, random, findings, until)
            number += 1


async def _round(
    stage: Stage, owners: list[Owner], judge: Judge, random: Random, findings: Findings, until: float
) -> None:
    """Let everybody act until the time is over."""
    sessions = Sessions(stage, random, findings)
    visitors = [Visitor(stage, owners, sessions, judge, random, findings) for _ in range(VISITORS)]
    async with asyncio.TaskGroup() as group:
        group.create_task(trouble(stage.redis, random, findings, until))
        group.create_task(_repeat(sessions.act, until, SESSION_PAUSE_S, random))
        group.create_task(_restart(sessions, until, random))
        for visitor in visitors:
            group.create_task(_repeat(visitor.act, until, 0.0, random))
        for owner in owners:
            group.create_task(_repeat(partial(owner.act, stage), until, OWNER_PAUSE_S, random))
    _check_logs(stage, owners, sessions, findings)


def _check_logs(stage: Stage, owners: list[Owner], sessions: Sessions, findings: Findings) -> None:
    """Fail where a gateway has logged an error, or a secret."""
    secrets = ["cloudreve://", "sign=", "/thumb/s/"]
    secrets += [session.cookie for session in sessions.all]
    secrets += [share.password for owner in owners for share in owner.shares if share.password]
    secrets += [part for user in stage.site.users.values() for part in (user.password, user.token)]
    if stage.relay.left:
        findings.violate("a resolve that a gateway has left", f"{stage.relay.left} times")
    for number, gateway in enumerate(stage.gateways):
        log = gateway.log
        for line in gateway.complaints:
            findings.violate("an error in the log", f"replica {number}: {line[:1000]}")
        for line in log.splitlines():
            if any(secret in line.replace(SEALED_ROUTE, "") for secret in secrets):
                findings.violate("a secret in the log", f"replica {number}: {line[:300]}")


async def _repeat(act: Callable[[], Awaitable[None]], until: float, pause_s: float, random: Random) -> None:
    while time.monotonic() < until:
        await act()
        await asyncio.sleep(random.uniform(0, pause_s))


async def _restart(sessions: Sessions, until: float, random: Random) -> None:
    """Exchange a replica now and then; rounds of seconds are too short for it."""
    while time.monotonic() + RESTART_S < until:
        await asyncio.sleep(random.uniform(RESTART_S / 2, RESTART_S))
        await sessions.restart()


@asynccontextmanager
async def _site(url: str | None, http: aiohttp.ClientSession) -> AsyncIterator[Site]:
    if url is not None:
        site = RealSite(url, http)
        await site.register("press", "anna", "ben")
        yield site
    else:
        async with StandIn(size=(8, 6)) as cloudreve:
            yield StandInSite(cloudreve)
