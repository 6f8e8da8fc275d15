"""The lines to a Redis Cluster: a server that is away costs what it holds, and nothing else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import structlog
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import RedisError

from proxy.cache.client import connect_to
from proxy.cache.gate import State
from proxy.cache.line import Command, Line, fetch_each
from proxy.cache.reads import Found
from proxy.cache.trouble import Trouble, trouble_of
from proxy.errors import Unreachable
from proxy.policy.redis_url import RedisPlace
from proxy.settings import RedisSettings

_log = structlog.get_logger("proxy.cache.redis")
_T = TypeVar("_T")

Address: TypeAlias = tuple[str, int]

_OUTDATING = frozenset({Trouble.MOVED, Trouble.UNREACHABLE, Trouble.TIMEOUT})
"""Troubles after which the map of the cluster may be another."""


class Shards:
    """Sends each command to the server that holds its key.

    redis-py's own client for clusters is not used: it waits and tries again where this gateway would rather go without,
    and one server that is away makes it close its connections to all of them.
    """

    def __init__(
        self,
        place: RedisPlace,
        settings: RedisSettings,
        timer: Callable[[], float],
        observe: Callable[[Trouble], None],
    ) -> None:
        self._place = place
        self._settings = settings
        self._timer = timer
        self._observe = observe
        self._lines: dict[Address, Line] = {}
        self._slots: list[tuple[int, int, Line]] = []
        self._mapped_at = -settings.pause_s
        self._mapping: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def state(self) -> State:
        """Whether all servers are asked at present."""
        states = {line.state for line in self._lines.values()}
        return State.UP if states == {State.UP} else State.PAUSED

    def is_open(self, key: str) -> bool:
        """Tell whether a command about this key may be sent."""
        line = self._line_of(key)
        return line is not None and line.is_open()

    async def read(self, key: str) -> Found:
        """Give the value of a key; None when there is trouble."""
        line = self._line_of(key)
        return None if line is None else await line.read(key)

    async def ask(self, fallback: _T, key: str, command: Command, unheard: Callable[[_T], None] | None = None) -> _T:
        """Give the reply of the server that holds the key, or `fallback` when there is trouble."""
        line = self._line_of(key)
        return fallback if line is None else await line.ask(fallback, key, command, unheard)

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run something beside everybody's path, until the lines are closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def subscriber(self) -> Redis:
        """Give a client to hear news with: a cluster spreads them over all servers."""
        await self.map()
        lines = [line for line in self._lines.values() if line.state is State.UP]
        if not lines:
            raise NoConnection("No server of the cluster answers.")
        return random.choice(lines).client  # noqa: S311 - to spread the load

    async def ping(self) -> float:
        """Measure the longest of all round trips in seconds; raise Unreachable saying what is wrong."""
        try:
            await self._map()
        except (RedisError, OSError) as error:
            raise Unreachable(trouble_of(error).explanation) from error
        return max([await line.ping() for line in self._lines.values()])

    async def aclose(self) -> None:
        """Let commands under way end, for `timeout_s` at most, and close all connections."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(line.aclose() for line in self._lines.values()))

    def _line_of(self, key: str) -> Line | None:
        ...
