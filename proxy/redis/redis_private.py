"""The only module that touches private names of redis-py: what it has connected is handed to another protocol.

redis-py connects, greets, signs in and finds the server (TLS, unix sockets, Sentinel, a password); an exchange of one
batch by its own reader costs four times as much as by hiredis alone. `tests/redis/test_wire.py` looks whether the names
are there; `pyproject.toml` bounds the version.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import InvalidResponse

NOT_YET = object()
"""The reader gives this where a reply has not come as a whole."""

MAX_IDLE_BYTES = 1024 * 1024
"""So much of what a reader has used it keeps for the next reply."""


def reader_for(connection: AbstractConnection) -> hiredis.Reader:
    """Make a reader of replies; an error among them is an exception of redis-py's."""
    parse_error = cast("Any", connection)._parser.parse_error
    reader = hiredis.Reader(protocolError=InvalidResponse, replyError=parse_error, notEnoughData=NOT_YET)
    reader.setmaxbuf(MAX_IDLE_BYTES)
    return reader


def taken_over(connection: AbstractConnection, protocol: asyncio.BufferedProtocol) -> tuple[asyncio.Transport, Any]:
    """Give what the connection receives to a protocol from now on; give the transport, and the protocol of before.

    That one has to be told when the connection is lost: redis-py waits for it on closing.
    """
    transport: asyncio.Transport = cast("Any", connection)._writer.transport
    before = transport.get_protocol()
    transport.set_protocol(protocol)
    return transport, before
