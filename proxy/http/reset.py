"""Ends an answer in the middle so that it cannot be taken for a complete one."""

from __future__ import annotations

import socket
import struct
from asyncio import Transport

_AT_ONCE = struct.pack("ii", 1, 0)


def reset(transport: Transport | None) -> None:
    """Close with RST: FIN is the end of an answer without a length to HTTP/1.0, and to a cache that asks with it.

    `SO_LINGER` of zero seconds makes the kernel drop what it has not sent, and reset.
    """
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
