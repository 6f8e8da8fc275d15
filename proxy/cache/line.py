"""The line to one Redis server: commands go out in turn; what goes wrong costs their callers little time, no error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from proxy.cache.errands import Errands
from proxy.cache.gate import Gate, State
from proxy.cache.reads import Found, Reads
from proxy.cache.trouble import Trouble, trouble_of
from proxy.errors import Unreachable
from proxy.settings import RedisSettings

_log = structlog.get_logger("proxy.cache.redis")
_T = TypeVar("_T")

Command: TypeAlias = Callable[[Redis], Awaitable[Any]]
Fetcher: TypeAlias = Callable[[Redis, list[str]], Awaitable[Sequence[Found | Exception]]]


async def fetch_together(client: Redis, keys: list[str]) -> Sequence[Found]:
    """Read several keys in one command."""
    found: Sequence[Any] = await client.mget(keys)
    return found


async def fetch_each(client: Redis, keys: list[str]) -> Sequence[Found | Exception]:
    """Read several keys by a command each, sent together: in a cluster one command may not name several slots."""
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.get(key)
    found: Sequence[Any] = await pipeline.execute(raise_on_error=False)
    return found


class Line:
    """Sends commands, each in a task of its own, for which its caller waits no longer than `timeout_s`.

    So a command that has been sent is never cancelled, by whatever end its caller comes to: its reply is read where it
    belongs, and its connection goes back to the pool clean (redis-py issue 2665 tells what happened otherwise).
    """

    def __init__(
        self,
        client: Redis,
        settings: RedisSettings,
        timer: Callable[[], float],
        observe: Callable[[Trouble], None],
        fetch: Fetcher = fetch_together,
    ) -> None:
        self.client = client
        self._gate = Gate(settings.pause_s, timer)
        self._timeout_s = settings.timeout_s
        self._timer = timer
        self._observe = observe
        self._fetch = fetch
        self._reads = Reads(self._read, settings.timeout_s, lambda: observe(Trouble.LATE))
        self._turns = asyncio.Semaphore(settings.max_connections)  # fair, which redis-py's pool is not
        self._errands = Errands()

    @property
    def state(self) -> State:
        """Whether commands are sent at present."""
        return self._gate.state

    def is_open(self, _key: str = "") -> bool:
        """Tell whether a command may be sent. While it may not, one caller per pause starts a probe and waits not."""
        if self._gate.state is State.UP:
            return True
        if self._gate.claim_probe():
            self.start(self._probe())
        return False

    async def read(self, key: str) -> Found:
        """Give the value of a key, together with all that is read in the same tick; None when there is trouble."""
        return await self._reads.read(key) if self.is_open() else None

    async def ask(self, fallback: _T, _key: str, command: Command, unheard: Callable[[_T], None] | None = None) -> _T:
        """Give Redis' reply, or `fallback` when there is trouble or no reply within `timeout_s`.

        A reply that comes when its caller has given up, or has been cancelled, goes to `unheard`.
        """
        if not self.is_open():
            return fallback
        task, is_heard = self.start(self._run(fallback, command)), False
        try:
            done, _ = await asyncio.wait({task}, timeout=self._timeout_s)
            is_heard = bool(done)
        finally:
            if unheard is not None and not is_heard:
                task.add_done_callback(lambda task: None if task.cancelled() else unheard(task.result()))
        if not is_heard:
            self._observe(Trouble.LATE)
        return task.result() if is_heard and not task.cancelled() else fallback

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run something beside everybody's path, until the line is closed."""
        return self._errands.start(work)

    def clients(self) -> list[Redis]:
        """List the client of the server."""
        return [self.client]

    async def subscriber(self) -> Redis:
        """Give a client to hear news with."""
        return self.client

    async def ping(self) -> float:
        """Measure a round trip in seconds, paused or not; raise Unreachable saying what is wrong."""
        started = self._timer()
        try:
            await self.client.ping()
        except (RedisError, OSError) as error:
            raise Unreachable(trouble_of(error).explanation) from error
        return self._timer() - started

    async def aclose(self) -> None:
        """Let commands under way end, for `timeout_s` at most, and close all connections."""
        await self._errands.aclose(self._timeout_s)
        with suppress(RedisError, OSError):
            await self.client.aclose()

    def _read(self, keys: list[str]) -> asyncio.Task[Sequence[Found]]:
        nothing: Sequence[Found] = [None] * len(keys)
        return self.start(self._run(nothing, lambda client: self._fetched(client, keys)))

    async def _fetched(self, client: Redis, keys: list[str]) -> Sequence[Found]:
        found = await self._fetch(client, keys)
        for trouble in {trouble_of(value) for value in found if isinstance(value, Exception)}:
            self._observe(trouble)
        return [None if isinstance(value, Exception) else value for value in found]

    async def _run(self, fallback: _T, command: Command) -> _T:
        """Send a command when its turn comes, unless its caller has gone by then."""
        wanted_until = self._timer() + self._timeout_s
        async with self._turns:
            epoch = self._gate.epoch
            if self._timer() > wanted_until or self.state is State.PAUSED:
                return fallback
            try:
                reply: _T = await command(self.client)
            except Exception as error:  # noqa: BLE001 - what fails open lets no library's surprise through
                self._suffer(error, epoch)
                return fallback
            return reply

    def _suffer(self, error: Exception, epoch: int) -> None:
        trouble = trouble_of(error)
        self._observe(trouble)
        if trouble.pauses and self._gate.trip(epoch):
            _log.warning("redis paused", trouble=trouble.value, error=type(error).__name__)

    async def _probe(self) -> None:
        """Find out whether Redis is back, on a new connection: the old ones may lead to where it was."""
        try:
            await self.client.connection_pool.disconnect(inuse_connections=False)
            await self.client.ping()
        except ResponseError:
            pass  # it answers
        except Exception as error:  # noqa: BLE001 - as above
            self._observe(trouble_of(error))
            self._gate.stay_shut()
            return
        self._gate.open()
        _log.info("redis up")
