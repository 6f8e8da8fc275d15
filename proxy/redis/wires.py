"""The connections to one Redis server over which batches go."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as NoConnection

from proxy.redis.background_tasks import BackgroundTasks
from proxy.redis.wire import Reply, Wire


class Wires:
    """As many connections as exchanges are under way at once, made when first needed; the last one used is used first.

    redis-py's pool connects and counts them. An exchange over one that stands costs no task.
    """

    def __init__(self, pool: ConnectionPool, timeout_s: float, background_tasks: BackgroundTasks) -> None:
        self._pool = pool
        self._timeout_s = timeout_s
        self._background_tasks = background_tasks
        self._wires: set[Wire] = set()
        self._idle: list[Wire] = []
        self._under_way: set[asyncio.Future[list[Reply]]] = set()
        self._is_closed = False

    def exchange(self, commands: Sequence[tuple[Any, ...]]) -> asyncio.Future[list[Reply]]:
        """Send commands and give all replies in the end, or what redis-py raises; never to be cancelled."""
        wire = self._idle_wire()
        if not commands:
            outcome = asyncio.get_running_loop().create_future()
            outcome.set_result([])
        elif wire is not None:
            outcome = self._put(wire, commands)
        else:
            outcome = asyncio.get_running_loop().create_future()
            self._background_tasks.start(self._connect(commands, outcome))
        self._under_way.add(outcome)
        outcome.add_done_callback(self._under_way.discard)
        return outcome

    def drop_idle(self) -> None:
        """Close the connections that are not in use."""
        for wire in self._idle:
            wire.close()
        self._idle.clear()

    async def aclose(self, patience_s: float) -> None:
        """Let exchanges end for so many seconds, those included that they begin meanwhile; then close all.

        One that is still being connected then is closed as soon as it stands.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + patience_s
        while self._under_way and (left_s := until - loop.time()) > 0:
            await asyncio.wait(self._under_way, timeout=left_s)
            await asyncio.sleep(0)
        self._is_closed = True
        lost = [wire.lost for wire in self._wires]
        for wire in [*self._wires]:
            wire.close()
        if lost:
            await asyncio.wait(lost, timeout=patience_s)

    def _idle_wire(self) -> Wire | None:
        while self._idle:
            wire = self._idle.pop()
            if wire.is_open:
                return wire
        return None

    def _put(self, wire: Wire, commands: Sequence[tuple[Any, ...]]) -> asyncio.Future[list[Reply]]:
        outcome = wire.exchange(commands)
        outcome.add_done_callback(partial(self._free, wire))
        return outcome

    def _free(self, wire: Wire, _: asyncio.Future[list[Reply]]) -> None:
        if wire.is_open:
            self._idle.append(wire)

    async def _connect(self, commands: Sequence[tuple[Any, ...]], outcome: asyncio.Future[list[Reply]]) -> None:
        try:
            wire = await self._new_wire()
        except BaseException as error:
            outcome.set_exception(error if isinstance(error, Exception) else NoConnection("Closed."))
            if not isinstance(error, Exception):
                raise
        else:
            self._put(wire, commands).add_done_callback(partial(_pass_on, outcome))

    async def _new_wire(self) -> Wire:
        connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            wire = self._taken_over(connection)
        except BaseException:
            await self._release(connection)
            raise
        self._wires.add(wire)
        wire.lost.add_done_callback(lambda _: self._lose(wire))
        return wire

    def _taken_over(self, connection: AbstractConnection) -> Wire:
        if self._is_closed:
            raise NoConnection("Closed.")
        return Wire(connection, self._timeout_s)

    def _lose(self, wire: Wire) -> None:
        self._wires.discard(wire)
        self._background_tasks.start(self._release(wire.connection))

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
