"""Some replicas on one Redis in front of a stand-in, each with a disk and a clock of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from deploy.drills.interleavings.versions import Pause, Versions
from deploy.drills.redis_process import RedisProcess
from proxy.observe.metrics import Metrics
from proxy.settings import Settings
from proxy.standin.library import PASSWORD, File
from proxy.standin.standin import StandIn
from proxy.upstream.clock import Clock
from proxy.wiring.process import running

REPLICAS = 3
FILES = 6
APART_S = 1.0
"""How far each replica's clock is ahead of the one before."""
SIZE = (16, 12)


class Replica:
    """A gateway, to be started anew over its disk."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._stack = AsyncExitStack()
        self._metrics: Metrics | None = None
        self.url = ""
        """Empty while it is not there."""

    async def start(self) -> None:
        """Start it."""
        gateway = await self._stack.enter_async_context(running(self._settings, self._clock))
        self._metrics, self.url = gateway.metrics, f"http://127.0.0.1:{gateway.port}"

    @property
    def waiting(self) -> float:
        """Count the changes that it has not told others of yet."""
        assert self._metrics is not None  # noqa: S101 - it has been started
        return self._metrics.registry.get_sample_value("thumb_proxy_changes_waiting") or 0.0

    async def close(self) -> None:
        """End it."""
        self.url = ""
        await self._stack.aclose()


@dataclass
class Stage:
    """All there is to act on."""

    cloudreve: StandIn
    redis: RedisProcess
    http: aiohttp.ClientSession
    replicas: list[Replica]
    versions: Versions = field(default_factory=Versions)
    pauses: list[Pause] = field(default_factory=list)
    paths: list[str] = field(default_factory=lambda: [f"/album/{number}.png" for number in range(FILES)])
    changing: dict[str, asyncio.Lock] = field(default_factory=dict)
    """Changes of one file come one after the other, so that the true state is known."""

    def lock(self, path: str) -> asyncio.Lock:
        """Give the lock of a file."""
        return self.changing.setdefault(path, asyncio.Lock())

    def body(self, path: str) -> bytes | None:
        """Draw what a file shows at Cloudreve."""
        library = self.cloudreve.library
        file = library.files.get((library.alice.id, path))
        return drawn(file) if file is not None else None


def drawn(file: File) -> bytes:
    """Draw a file's thumbnail."""
    assert file.draw is not None  # noqa: S101 - all files here are pictures
    return file.draw()


@asynccontextmanager
async def staged(folder: Path, replicas: int = REPLICAS) -> AsyncIterator[Stage]:
    """Start everything, and end it."""
    async with AsyncExitStack() as stack:
        redis = RedisProcess(folder)
        await redis.start()
        stack.callback(redis.kill)
        cloudreve = await stack.enter_async_context(StandIn(size=SIZE))
        jar, connector = aiohttp.DummyCookieJar(), aiohttp.TCPConnector(limit=0)
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar, connector=connector))
        stage = Stage(cloudreve, redis, http, [])
        for number in range(replicas):
            settings = _settings(cloudreve.own_url, redis.url, folder / f"cache-{number}")
            stage.replicas.append(Replica(settings, _clock(number * APART_S)))
            stack.push_async_callback(stage.replicas[-1].close)
            await stage.replicas[-1].start()
        for path in stage.paths:
            file = cloudreve.library.put(cloudreve.library.alice, path)
            stage.versions.replace(path, drawn(file), -1.0, -1.0, -1)
        yield stage


def _clock(ahead_s: float) -> Clock:
    return Clock(lambda: time.time() + ahead_s)


def _settings(cloudreve_url: str, redis_url: str, disk: Path) -> Settings:
    published = {"prefix": "cloudreve://my/album", "email": "alice@example.org", "secret": PASSWORD}
    return Settings.model_validate(
        {
            "server": {"host": "127.0.0.1", "port": 0, "passthrough": True, "drain_s": 0.0, "shutdown_s": 5.0},
            "admin": {"host": "127.0.0.1", "port": 0},
            "cloudreve": {"url": cloudreve_url},
            "redis": {"url": redis_url, "timeout_s": 0.2, "pause_s": 0.05},
            "disk": {"path": str(disk), "max_bytes": 16 * 1024 * 1024},
            "memory": {"max_bytes": 200_000},
            "pictures": {"formats": []},
            "seal": {"keys": ["0123456789abcdef" * 4]},
            "publish": [published],
            "watch": {"max_subscriptions": 0},
            "log": {"level": "error"},
        }
    )
