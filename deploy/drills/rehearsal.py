"""One drill: calm, trouble, calm again, and SIGTERM in the middle of the same trouble."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from deploy.benchmarks.port import free_port
from deploy.drills.cloudreve import CloudreveProcess, Site
from deploy.drills.gateway import Gateway, Leaving
from deploy.drills.load import Load, Tally, loaded
from deploy.drills.redis_process import RedisProcess

SHUTDOWN_S = 2.0
GRACE_S = 3.0
"""How long leaving may take beyond that, on a machine with other things to do."""
SETTINGS = {
    "SERVER__DEADLINE_S": "1",
    "SERVER__SHUTDOWN_S": str(SHUTDOWN_S),
    "SERVER__HEADER_TIMEOUT_S": "1",
    "SERVER__SEND_TIMEOUT_S": "1",
    "CLOUDREVE__PROBE_S": "0.2",
    "REFUSALS__NOT_FOUND_S": "0",
    "REFUSALS__DENIED_S": "0",
    "WATCH__MAX_SUBSCRIPTIONS": "0",
}
"""Everybody is less patient than by default, so that a drill takes seconds, and nothing happens unasked."""
DESCRIPTORS = 20_000
HITS, COLD = 20, 4
"""So many answers to each kind of question say enough about a state."""
LONGEST_S = 900.0
MANY = 2000
"""No trouble need be larger to leave in its middle."""
MEBI = 1024 * 1024


@dataclass
class Stage:
    """What a trouble has to do with."""

    cloudreve: CloudreveProcess
    redis: RedisProcess
    site: Site
    gateway: Gateway
    load: Load
    seen: dict[str, float] = field(default_factory=dict)
    """What a trouble has measured; the last time counts."""


RedisFailure: TypeAlias = Callable[[Stage, int], AbstractAsyncContextManager[None]]
"""Begins a trouble of some size, and ends it."""


@dataclass(frozen=True, slots=True)
class Drill:
    """A trouble, how large it is in earnest and in a test, and what it needs of the gateway."""

    name: str
    trouble: RedisFailure
    many: int = 1
    few: int = 1
    is_garbled: bool = False
    """Answers that tell of rubbish are true ones."""
    settings: Mapping[str, str] = field(default_factory=dict)
    descriptors: int = DESCRIPTORS
    """How many the gateway may open."""
    log: Callable[[], AbstractContextManager[int]] | None = None
    """Gives the descriptor that the log goes to, if not to a file; nothing is known of its errors then."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has come of it."""

    tally: Tally
    wrong: dict[str, int]
    grown_bytes: int
    """By how much memory was larger after the trouble than before."""
    leaving: Leaving
    complaints: list[str]
    seen: dict[str, float]

    @property
    def is_good(self) -> bool:
        """Tell whether nothing has happened that should not."""
        left_in_time = self.leaving.code == 0 and self.leaving.seconds < SHUTDOWN_S + GRACE_S
        return not self.wrong and left_in_time and not self.complaints


async def rehearse(*drills: Drill, is_small: bool, effort: int = 1) -> Outcome:
    """Carry drills out at one gateway, which is told to leave in the middle of the last one's trouble."""
    _open_many()
    with TemporaryDirectory(prefix="thumb-proxy-drill-") as folder:
        async with _staged(Path(folder), drills) as stage, asyncio.timeout(LONGEST_S):
            grown_bytes = await _go_through(drills, stage, effort, is_small=is_small)
            leaving = await _leave(drills[-1], stage, is_small=is_small)
        tally = stage.load.tally
        if tally.again:
            stage.seen["asked again"] = tally.again
        wrong = tally.wrong(is_garbled=any(drill.is_garbled for drill in drills))
        return Outcome(tally, wrong, grown_bytes, leaving, stage.gateway.complaints, stage.seen)


@asynccontextmanager
async def _staged(folder: Path, drills: Sequence[Drill]) -> AsyncIterator[Stage]:
    """Start all that it takes."""
    settings = {**SETTINGS, **{name: value for drill in drills for name, value in drill.settings.items()}}
    cloudreve, redis = CloudreveProcess(), RedisProcess(folder)
    try:
        await redis.start()
        site = await cloudreve.start()
        log = folder / "gateway.log"
        gateway = Gateway(site.url, log, drills[-1].descriptors, **settings, REDIS__URL=redis.url)
        async with _started(gateway, drills[-1]), loaded(gateway.port, site) as load:
            yield Stage(cloudreve, redis, site, gateway, load)
    finally:
        await cloudreve.kill()
        redis.kill()


async def _go_through(drills: Sequence[Drill], stage: Stage, effort: int, *, is_small: bool) -> int:
    """Let each trouble come and go; give by how much memory has grown."""
    await stage.load.goes_on(HITS, COLD)
    before_bytes = stage.gateway.memory_bytes
    for drill in drills:
        async with drill.trouble(stage, drill.few if is_small else drill.many):
            await stage.load.goes_on(HITS * effort, COLD * effort)
        await stage.load.recovers()
    return stage.gateway.memory_bytes - before_bytes


async def _leave(drill: Drill, stage: Stage, *, is_small: bool) -> Leaving:
    """Send SIGTERM in the middle of a trouble."""
    async with drill.trouble(stage, drill.few if is_small else min(drill.many, MANY)):
        await stage.load.goes_on(HITS, COLD)
        stage.load.is_over = True
        return await stage.gateway.leave()


@asynccontextmanager
async def _started(gateway: Gateway, drill: Drill) -> AsyncIterator[None]:
    try:
        if drill.log is None:
            await gateway.start()
            yield
        else:
            with drill.log() as log:
                await gateway.start(log, (free_port(), free_port()))
                yield
    finally:
        gateway.kill()


def _open_many() -> None:
    """Let this process open what thousands of visitors need."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
