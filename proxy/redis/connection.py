"""Commands to one Redis server. Fails open: on error, or after `timeout_s`, the caller gets its fallback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from proxy.background_tasks import BackgroundTasks
from proxy.domain.errors import Unreachable
from proxy.redis.circuit_breaker import RedisBreaker, State
from proxy.redis.client import PATIENCE, max_batches
from proxy.redis.failures import RedisFailure, redis_failure_of
from proxy.redis.pipeline_connection import Reply
from proxy.redis.pipeline_pool import PipelinePool
from proxy.redis.pipelining import NOTHING, Command, CommandBatches, Item, Read, Request, Word, requests_of
from proxy.settings import RedisSettings

_log = structlog.get_logger("proxy.cache.redis_tier")
_T = TypeVar("_T")


class RedisConnection:
    """Sends commands in batches; nobody waits for a reply longer than `timeout_s`.

    A command that has been sent is never cancelled, by whatever end its caller comes to: its reply is read where it
    belongs, and its connection is clean for the next batch (redis-py issue 2665 tells what happened otherwise).
    """

    def __init__(
        self,
        client: Redis,
        settings: RedisSettings,
        timer: Callable[[], float],
        observe: Callable[[RedisFailure], None],
        *,
        is_shard: bool = False,
    ) -> None:
        self.client = client
        self._breaker = RedisBreaker(settings.pause_s, timer)
        self._timeout_s = settings.timeout_s
        self._timer = timer
        self._observe = observe
        self._is_shard = is_shard
        self._batches = CommandBatches(self._send, max_batches(settings), settings.timeout_s, self._miss)
        self._epochs: dict[asyncio.Future[Any], int] = {}
        self._background_tasks = BackgroundTasks()
        self._pool = PipelinePool(client.connection_pool, settings.timeout_s * PATIENCE, self._background_tasks)

    is_one_server = True
    """Whether one command may name any keys together."""

    @property
    def state(self) -> State:
        """Whether commands are sent at present."""
        return self._breaker.state

    def is_available(self, _key: str = "") -> bool:
        """Tell whether a command may be sent. While it may not, one caller per pause starts a probe and waits not."""
        if self._breaker.state is State.UP:
            return True
        if self._breaker.claim_probe():
            self._background_tasks.start(self._probe())
        return False

    async def read(self, key: str) -> bytes | None:
        """Give the value of a key; None when there is none, or trouble."""
        return await self.ask(None, key, "GET", key)

    def read_soon(self, keys: Sequence[str], receive: Callable[[Sequence[bytes | None]], None]) -> None:
        """Have the values of keys handed over as soon as they are here, each None when there is none, or trouble."""
        if self.is_available():
            self._batches.add(Read(keys, receive))
        else:
            asyncio.get_running_loop().call_soon(receive, [None] * len(keys))

    async def ask(self, fallback: _T, _key: str, *words: Word, unheard: Callable[[_T], None] | None = None) -> _T:
        """Give the reply to a command, or `fallback` when there is trouble or no reply within `timeout_s`.

        A reply that comes when its caller has given up, or has been cancelled, goes to `unheard`.
        """
        if not self.is_available():
            return fallback
        reply = await self._batches.add(Command(words, unheard)).outcome()
        return fallback if reply is NOTHING else reply

    def send(self, _key: str, *words: Word) -> None:
        """Have a command sent, and wait for nothing; whether it arrives is nobody's concern."""
        if self.is_available():
            self._batches.add(Command(words), is_urgent=False)

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
            raise Unreachable(redis_failure_of(error).explanation) from error
        return self._timer() - started

    async def aclose(self) -> None:
        """Let commands under way end, for `timeout_s` at most, and close all connections."""
        self._batches.flush()
        await self._pool.aclose(self._timeout_s)
        await self._background_tasks.aclose(self._timeout_s)
        with suppress(RedisError, OSError):
            await self.client.aclose()

    def _send(self, items: list[Item]) -> asyncio.Future[Any]:
        """Ask for all at once, and hand out the replies."""
        epoch = self._breaker.epoch
        requests = requests_of(items, is_shard=self._is_shard) if self.state is State.UP else []
        exchanged = self._pool.exchange([request.words for request in requests])
        self._epochs[exchanged] = epoch
        exchanged.add_done_callback(partial(self._receive, requests, epoch))
        return exchanged

    def _receive(self, requests: list[Request], epoch: int, exchanged: asyncio.Future[list[Reply]]) -> None:
        del self._epochs[exchanged]
        error = exchanged.exception()
        if isinstance(error, Exception):
            self._suffer(error, epoch)
            return
        for request, reply in zip(requests, exchanged.result(), strict=True):
            for one in _errors_in(reply):
                self._suffer(one, epoch)
            if not isinstance(reply, Exception):
                request.receive(reply)

    def _miss(self, task: asyncio.Future[Any] | None) -> None:
        """Take note that a batch has not been answered in time, or that there was no connection for it."""
        epoch = self._epochs.get(task) if task is not None else None
        self._note(RedisFailure.LATE if epoch is None else RedisFailure.TIMEOUT, epoch, "")

    def _suffer(self, error: Exception, epoch: int) -> None:
        if isinstance(error, ReadOnlyError) and isinstance(self.client.connection_pool, SentinelConnectionPool):
            error = NoConnection("The master has become a replica: Sentinel names another.")
        self._note(redis_failure_of(error), epoch, type(error).__name__)

    def _note(self, trouble: RedisFailure, epoch: int | None, error: str) -> None:
        self._observe(trouble)
        if epoch is not None and trouble.pauses and self._breaker.trip(epoch):
            _log.warning("redis paused", trouble=trouble.value, error=error)

    async def _probe(self) -> None:
        """Find out whether Redis is back, on a new connection: the old ones may lead to where it was."""
        try:
            self._pool.drop_idle()
            await self.client.connection_pool.disconnect(inuse_connections=False)
            await self.client.ping()
        except ResponseError:
            pass  # it answers
        except Exception as error:  # noqa: BLE001 - as above
            self._observe(redis_failure_of(error))
            self._breaker.stay_open()
            return
        self._breaker.close()
        _log.info("redis up")


def _errors_in(reply: object) -> list[Exception]:
    """List the errors of a reply, or of the replies to a script that was called for several."""
    return [one for one in (reply if isinstance(reply, list) else [reply]) if isinstance(one, Exception)]
