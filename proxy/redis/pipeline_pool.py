"""The connections to one Redis server over which batches go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as NoConnection

from proxy.background_tasks import BackgroundTasks
from proxy.redis.pipeline_connection import PipelineConnection, Reply


class PipelinePool:
    """As many connections as exchanges are under way at once, made when first needed; the last one used is used first.

    redis-py's pool connects and counts them. An exchange over one that stands costs no task.
    """

    def __init__(self, pool: ConnectionPool, timeout_s: float, background_tasks: BackgroundTasks) -> None:
        self._pool = pool
        self._timeout_s = timeout_s
        self._background_tasks = background_tasks
        self._pipelines: set[PipelineConnection] = set()
        self._idle: list[PipelineConnection] = []
        self._under_way: set[asyncio.Future[list[Reply]]] = set()
        self._is_closed = False

    def exchange(self, commands: Sequence[tuple[Any, ...]]) -> asyncio.Future[list[Reply]]:
        """Send commands and give all replies in the end, or what redis-py raises; never to be cancelled."""
        pipeline = self._idle_pipeline()
        if not commands:
            outcome = asyncio.get_running_loop().create_future()
            outcome.set_result([])
        elif pipeline is not None:
            outcome = self._put(pipeline, commands)
        else:
            outcome = asyncio.get_running_loop().create_future()
            self._background_tasks.start(self._connect(commands, outcome))
        self._under_way.add(outcome)
        outcome.add_done_callback(self._under_way.discard)
        return outcome

    def drop_idle(self) -> None:
        """Close the connections that are not in use."""
        for pipeline in self._idle:
            pipeline.close()
        self._idle.clear()

    async def aclose(self, patience_s: float) -> None:
        """Let exchanges end for so many seconds, those included that they begin meanwhile; then close all.

        One that is still being connected then is closed as soon as it stands.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s
        while self._under_way and (remaining_s := until - loop.time()) > 0:
            await asyncio.wait(self._under_way, timeout=remaining_s)
            await asyncio.sleep(0)
        self._is_closed = True
        lost = [pipeline.lost for pipeline in self._pipelines]
        for pipeline in [*self._pipelines]:
            pipeline.close()
        if lost:
            await asyncio.wait(lost, timeout=patience_s)

    def _idle_pipeline(self) -> PipelineConnection | None:
        while self._idle:
            pipeline = self._idle.pop()
            if pipeline.is_open:
                return pipeline
        return None

    def _put(self, pipeline: PipelineConnection, commands: Sequence[tuple[Any, ...]]) -> asyncio.Future[list[Reply]]:
        outcome = pipeline.exchange(commands)
        outcome.add_done_callback(partial(self._free, pipeline))
        return outcome

    def _free(self, pipeline: PipelineConnection, _: asyncio.Future[list[Reply]]) -> None:
        if pipeline.is_open:
            self._idle.append(pipeline)

    async def _connect(self, commands: Sequence[tuple[Any, ...]], outcome: asyncio.Future[list[Reply]]) -> None:
        try:
            pipeline = await self._new_pipeline()
        except BaseException as error:
            outcome.set_exception(error if isinstance(error, Exception) else NoConnection("Closed."))
            if not isinstance(error, Exception):
                raise
        else:
            self._put(pipeline, commands).add_done_callback(partial(_pass_on, outcome))

    async def _new_pipeline(self) -> PipelineConnection:
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            pipeline = self._taken_over(connection)
        except BaseException:
            await self._release(connection)
            raise
        self._pipelines.add(pipeline)
        pipeline.lost.add_done_callback(lambda _: self._lose(pipeline))
        return pipeline

    def _taken_over(self, connection: AbstractConnection) -> PipelineConnection:
        if self._is_closed:
            raise NoConnection("Closed.")
        return PipelineConnection(connection, self._timeout_s)

    def _lose(self, pipeline: PipelineConnection) -> None:
        self._pipelines.discard(pipeline)
        self._background_tasks.start(self._release(pipeline.connection))

    async def _release(self, connection: AbstractConnection) -> None:
        """Make place in the pool for another."""
        await connection.disconnect(nowait=True)
        await self._pool.release(connection)


def _pass_on(outcome: asyncio.Future[list[Reply]], exchanged: asyncio.Future[list[Reply]]) -> None:
    error = exchanged.exception()
    if error is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(exchanged.result())
