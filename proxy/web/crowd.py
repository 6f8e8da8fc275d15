"""Everybody who is connected: who takes too long is cut off, and when it gets crowded those who are idle."""

from __future__ import annotations

import asyncio

from proxy.metrics import Metrics
from proxy.settings import ServerSettings
from proxy.web.connection import Connection

LOOKS_S = 1.0
"""How often everybody is looked at, at least."""
MOMENT_S = 1.0
"""Who has been idle for less than this, or has just come, is not."""
SHARE = 8
"""Of this many, one has to go when somebody has to."""


class Crowd:
    """The visitors' connections of one process, `most` at once.

    A visitor may take `server.header_timeout_s` for the head of a request, from the connection's opening or the head's
    first byte on, and may read nothing for `server.send_timeout_s` of what is being sent. Between two requests they may
    stay for an hour: connections are kept by load balancers, which should be the first to close them (aiohttp).
    """

    def __init__(self, most: int, settings: ServerSettings, metrics: Metrics) -> None:
        self._most = most
        self._header_timeout_s = settings.header_timeout_s
        self._send_timeout_s = settings.send_timeout_s
        self._metrics = metrics
        self._inside: dict[Connection, None] = {}
        self._is_packed = False
        """Nobody inside was idle when room was needed last; true until everybody is looked at again."""
        metrics.watch("connections", "Visitors who are connected", lambda: len(self._inside))

    def enter(self, connection: Connection) -> None:
        """Let a visitor in, or cut them off when all who are inside are busy."""
        if len(self._inside) >= self._most:
            self._make_room()
        if len(self._inside) < self._most:
            self._inside[connection] = None
        else:
            self._cut_off(connection, "crowded")

    def leave(self, connection: Connection) -> None:
        """Count out who has gone."""
        self._inside.pop(connection, None)

    async def watch(self) -> None:
        """Look at everybody again and again, for ever."""
        pause_s = min(LOOKS_S, self._header_timeout_s / 4, self._send_timeout_s / 4)
        while True:
            await asyncio.sleep(pause_s)
            self.look()

    def look(self) -> None:
        """Cut off who takes too long."""
        self._is_packed = False
        now = asyncio.get_running_loop().time()
        for connection in list(self._inside):
            if connection.head_takes_s(now) > self._header_timeout_s:
                self._cut_off(connection, "head")
            elif connection.unread_for_s(now) > self._send_timeout_s:
                self._cut_off(connection, "unread")

    def _make_room(self) -> None:
        """Cut off some who are idle: first those who never asked for anything, then those who have not for longest.

        It is several each time, since looking at everybody takes time. Who came a moment ago may have asked already,
        unread as yet; and a connection in use is idle for moments only.
        """
        if self._is_packed:
            return
        inside, latest = list(self._inside), asyncio.get_running_loop().time() - MOMENT_S
        idle = [
            (each.is_used, each.idle_since, number) for number, each in enumerate(inside) if each.idle_since < latest
        ]
        for *_, number in sorted(idle)[: max(self._most // SHARE, 1)]:
            self._cut_off(inside[number], "crowded")
        self._is_packed = not idle

    def _cut_off(self, connection: Connection, reason: str) -> None:
        self._inside.pop(connection, None)
        self._metrics.cut_off(reason)
        connection.cut_off()
