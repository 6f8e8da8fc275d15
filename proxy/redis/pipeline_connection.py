"""One connection to Redis, over which batches of commands go one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as NoReply

from proxy.redis.redis_private import NOT_YET, reader_for, taken_over

BUFFER_BYTES = 128 * 1024
"""So much is received at a time."""

Reply: TypeAlias = Any
"""Whatever Redis replies; an exception of redis-py for an error."""


class PipelineConnection(asyncio.BufferedProtocol):
    """Takes over what redis-py has connected.

    A reply that nobody has asked for ends the connection: the next would be given to another than its own request.
    """

    def __init__(self, connection: AbstractConnection, timeout_s: float) -> None:
        self.connection = connection
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection is gone."""
        self._timeout_s = timeout_s
        self._reader = reader_for(connection)
        self._buffer = bytearray(BUFFER_BYTES)
        self._missing = 0
        self._replies: list[Reply] = []
        self._exchanged: asyncio.Future[list[Reply]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport, self._before = taken_over(connection, self)
        if self._transport.is_closing():
            raise NoConnection("Lost already.")

    @property
    def is_open(self) -> bool:
        """Tell whether it can be used, as far as is known."""
        return not self._transport.is_closing()

    def exchange(self, commands: Sequence[tuple[Any, ...]]) -> asyncio.Future[list[Reply]]:
        """Send commands, and give all replies in the end. Nothing else may be under way."""
        loop = asyncio.get_running_loop()
        self._exchanged = exchanged = loop.create_future()
        self._missing = len(commands)
        self._timer = loop.call_later(self._timeout_s, self._fail, NoReply("No reply in time."))
        self._transport.writelines([hiredis.pack_command(words) for words in commands])
        return exchanged

    def close(self) -> None:
        """Close it; the exchange under way has failed."""
        self._fail(NoConnection("Closed."))

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - as asyncio calls it
        """Give the place where replies come in: a buffer of its own for each piece would be copied once more."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take replies in."""
        self._reader.feed(self._buffer, 0, nbytes)  # type: ignore[arg-type]  # any buffer will do
        try:
            while (reply := self._reader.gets()) is not NOT_YET:
                self._take(reply)
        except InvalidResponse as error:
            self._fail(error)
        if self._exchanged is None and self._reader.has_data():
            self._transport.abort()  # the rest would be taken for the next reply

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that it is gone."""
        self._before.connection_lost(exc)
        self._fail(NoConnection("Connection lost."))
        self.lost.set_result(None)

    def _take(self, reply: Reply) -> None:
        if self._exchanged is None:
            self._transport.abort()
            return
        self._replies.append(reply)
        if len(self._replies) == self._missing:
            replies, self._replies = self._replies, []
            self._end().set_result(replies)

    def _fail(self, error: Exception) -> None:
        self._transport.abort()
        if self._exchanged is not None:
            self._end().set_exception(error)

    def _end(self) -> asyncio.Future[list[Reply]]:
        """End the exchange under way."""
        exchanged, self._exchanged = self._exchanged, None
        assert exchanged is not None and self._timer is not None  # noqa: S101, PT018 - only called while it is
        self._timer.cancel()
        return exchanged
