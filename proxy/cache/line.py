"""The line to Redis: commands go out in turn, and whatever goes wrong costs their callers little time and no error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from proxy.cache.gate import Gate, State
from proxy.cache.trouble import Trouble, trouble_of
from proxy.errors import Unreachable

_log = structlog.get_logger("proxy.cache.redis")
_T = TypeVar("_T")


class Line:
    """Sends commands, each in a task of its own, for which its caller waits no longer than `timeout_s`.

    So a command that has been sent is never cancelled, by whatever end its caller comes to: its reply is read where it
    belongs, and its connection goes back to the pool clean (redis-py issue 2665 tells what happened otherwise).
    """

    def __init__(
        self,
        client: Redis,
        gate: Gate,
        timeout_s: float,
        max_connections: int,
        timer: Callable[[], float],
        observe: Callable[[Trouble], None],
    ) -> None:
        self._client = client
        self._gate = gate
        self._timeout_s = timeout_s
        self._timer = timer
        self._observe = observe
        self._turns = asyncio.Semaphore(max_connections)  # fair, which redis-py's pool is not: late comers overtake
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def state(self) -> State:
        """Whether commands are sent at present."""
        return self._gate.state

    def is_open(self) -> bool:
        """Tell whether a command may be sent. While it may not, one caller per pause starts a probe and waits not."""
        if self._gate.state is State.UP:
            return True
        if self._gate.claim_probe():
            self._start(self._probe())
        return False

    async def ask(self, fallback: _T, command: Callable[..., Awaitable[Any]], *words: object, **options: object) -> _T:
        """Give Redis' reply, or `fallback` when there is trouble or no reply within `timeout_s`."""
        if not self.is_open():
            return fallback
        task = self._start(self._run(fallback, partial(command, *words, **options)))
        done, _ = await asyncio.wait({task}, timeout=self._timeout_s)
        if not done:
            self._observe(Trouble.LATE)
        return task.result() if done and not task.cancelled() else fallback

    def send(self, command: Callable[..., Awaitable[Any]], *words: object) -> None:
        """Have a command sent, and wait for nothing; whether it arrives is nobody's concern."""
        if self.is_open():
            self._start(self._run(None, partial(command, *words)))

    async def ping(self) -> float:
        """Measure a round trip in seconds, paused or not; raise Unreachable saying what is wrong."""
        started = self._timer()
        try:
            await self._client.ping()
        except (RedisError, OSError) as error:
            raise Unreachable(trouble_of(error).explanation) from error
        return self._timer() - started

    async def aclose(self) -> None:
        """Let commands under way end, for `timeout_s` at most, and close all connections."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(RedisError, OSError):
            await self._client.aclose()

    async def _run(self, fallback: _T, command: Callable[[], Awaitable[_T]]) -> _T:
        """Send a command when its turn comes, unless its caller has gone by then."""
        wanted_until = self._timer() + self._timeout_s
        async with self._turns:
            epoch = self._gate.epoch
            if self._timer() > wanted_until or self.state is State.PAUSED:
                return fallback
            try:
                return await command()
            except Exception as error:  # noqa: BLE001 - what fails open lets no library's surprise through
                self._suffer(error, epoch)
                return fallback

    def _suffer(self, error: Exception, epoch: int) -> None:
        trouble = trouble_of(error)
        self._observe(trouble)
        if trouble.pauses and self._gate.trip(epoch):
            _log.warning("redis paused", trouble=trouble.value, error=type(error).__name__)

    async def _probe(self) -> None:
        """Find out whether Redis is back, on a new connection: the old ones may lead to where it was."""
        try:
            await self._client.connection_pool.disconnect(inuse_connections=False)
            await self._client.ping()
        except ResponseError:
            pass  # it answers
        except Exception as error:  # noqa: BLE001 - as above
            self._observe(trouble_of(error))
            self._gate.stay_shut()
            return
        self._gate.open()
        _log.info("redis up")

    def _start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
