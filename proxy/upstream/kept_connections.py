"""Connections that are kept: bytes that came over one while nothing was asked answer no request (RFC 9112 §9.2)."""

from __future__ import annotations

import aiohttp
from aiohttp.connector import Connection


class WaryRequest(aiohttp.ClientRequest):
    """A request for whose answer aiohttp does not take one that was there before it; some servers say 408 unasked."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send it, or raise ServerDisconnectedError, after which aiohttp takes another connection for a GET."""
        if conn.protocol is None or conn.protocol.should_close:
            raise aiohttp.ServerDisconnectedError
        return await super().send(conn)
