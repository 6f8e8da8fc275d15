"""The visitors' connections: slow ones are closed, and idle ones too when there are too many connections."""

from __future__ import annotations

import asyncio

from proxy.http.aiohttp_private import Connection
from proxy.observe.metrics import Metrics
from proxy.settings import ServerSettings

CHECK_S = 1.0
"""How often all connections are checked, at least."""
IDLE_AFTER_S = 1.0
"""How long a connection has to be idle, or open, to count as idle."""
ONE_IN = 8
"""When room is needed, one connection in this many is closed at once."""


class Crowd:
    """The visitors' connections of one process, `most` at once.

    A visitor may take `server.header_timeout_s` for the head of a request, counted from the connection's opening or
    from the head's first byte, and `server.send_timeout_s` without reading anything of what is being sent. Between
    requests a connection may be idle for an hour (aiohttp): load balancers keep connections, and should be the first to
    close them.
    """

    def __init__(self, most: int, settings: ServerSettings, metrics: Metrics) -> None:
        self._most = most
        self._header_timeout_s = settings.header_timeout_s
        self._send_timeout_s = settings.send_timeout_s
        self._metrics = metrics
        self._inside: dict[Connection, None] = {}
        self._is_packed = False
        """Whether no connection was idle when room was last needed; reset by the next check."""
        metrics.watch("connections", "Visitors who are connected", lambda: len(self._inside))

    def enter(self, connection: Connection) -> None:
        """Accept a connection, or close it when the limit is reached and no other is idle."""
        if len(self._inside) >= self._most:
            self._make_room()
        if len(self._inside) < self._most:
            self._inside[connection] = None
        else:
            self._cut_off(connection, "crowded")

    def leave(self, connection: Connection) -> None:
        """Forget a connection that has closed."""
        self._inside.pop(connection, None)

    async def watch(self) -> None:
        """Check all connections again and again, for ever."""
        pause_s = min(CHECK_S, self._header_timeout_s / 4, self._send_timeout_s / 4)
        while True:
            await asyncio.sleep(pause_s)
            self.look()

    def look(self) -> None:
        """Close the connections whose visitors take too long."""
        self._is_packed = False
        now = asyncio.get_running_loop().time()
        for connection in list(self._inside):
            if connection.head_takes_s(now) > self._header_timeout_s:
                self._cut_off(connection, "head")
            elif connection.unread_for_s(now) > self._send_timeout_s:
                self._cut_off(connection, "unread")

    def _make_room(self) -> None:
        """Close some idle connections: first those on which nothing was ever asked, then those idle for longest.

        Several each time, since finding them takes time. A connection that has just been opened may have sent a request
        that is not read yet, and one in use is idle for moments only: neither counts as idle.
        """
        if self._is_packed:
            return
        inside, latest = list(self._inside), asyncio.get_running_loop().time() - IDLE_AFTER_S
        idle = [
            (each.is_used, each.idle_since, number) for number, each in enumerate(inside) if each.idle_since < latest
        ]
        for *_, number in sorted(idle)[: max(self._most // ONE_IN, 1)]:
            self._cut_off(inside[number], "crowded")
        self._is_packed = not idle

    def _cut_off(self, connection: Connection, reason: str) -> None:
        self._inside.pop(connection, None)
        self._metrics.cut_off(reason)
        connection.cut_off()
