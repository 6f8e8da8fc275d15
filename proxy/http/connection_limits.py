"""The visitors' connections: slow ones are closed, and idle ones too when there are too many connections."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

from proxy.domain.client import Client, client_at
from proxy.http.connection import Connection
from proxy.http.forwarded import Proxies
from proxy.observe.metrics import Metrics
from proxy.settings import ServerSettings

CHECK_S = 1.0
"""How often all connections are checked, at least."""
IDLE_AFTER_S = 1.0
"""How long a connection has to be idle, or open, to count as idle."""
ONE_IN = 8
"""When room is needed, one connection in this many is closed at once."""


class ConnectionLimits:
    """The visitors' connections of one process, `most` at once.

    A visitor may take `server.header_timeout_s` for the head of a request, counted from the connection's opening or
    from the head's first byte, and `server.send_timeout_s` without reading anything of what is being sent. Between
    requests a connection may be idle for an hour (aiohttp): load balancers keep connections, and should be the first to
    close them.

    When room is needed, the client with the most connections makes it: first with idle ones, then with its oldest.
    Connections of a trusted proxy are those of many clients, so that each counts as a client of its own.
    """

    def __init__(self, most: int, settings: ServerSettings, metrics: Metrics) -> None:
        self._most = most
        self._at_once = max(most // ONE_IN, 1)
        self._header_timeout_s = settings.header_timeout_s
        self._send_timeout_s = settings.send_timeout_s
        self._trusts = Proxies(settings.trusted_proxies).trusts
        self._metrics = metrics
        self._inside: dict[Connection, Client | None] = {}
        """The client of each connection; None for those of trusted proxies."""
        self._by_client: dict[Client, dict[Connection, None]] = {}
        self._packed_from = math.inf
        """For a client with so many connections there was no room when it was last needed; reset by the next check."""
        metrics.watch("connections", "Visitors who are connected", lambda: len(self._inside))

    def enter(self, connection: Connection) -> None:
        """Accept a connection, or close it when the limit is reached and no other makes room."""
        client = self._client(connection)
        if len(self._inside) >= self._most:
            self._make_room(self._of(client))
        if len(self._inside) < self._most:
            self._inside[connection] = client
            if client is not None:
                self._by_client.setdefault(client, {})[connection] = None
        else:
            self._cut_off(connection, "crowded")

    def leave(self, connection: Connection) -> None:
        """Forget a connection that has closed."""
        client = self._inside.pop(connection, None)
        if client is not None:
            own = self._by_client[client]
            del own[connection]
            if not own:
                del self._by_client[client]

    async def watch(self) -> None:
        """Check all connections again and again, for ever."""
        pause_s = min(CHECK_S, self._header_timeout_s / 4, self._send_timeout_s / 4)
        while True:
            await asyncio.sleep(pause_s)
            self.look()

    def look(self) -> None:
        """Close the connections whose visitors take too long."""
        self._packed_from = math.inf
        now = asyncio.get_running_loop().time()
        for connection in list(self._inside):
            if connection.head_takes_s(now) > self._header_timeout_s:
                self._cut_off(connection, "head")
            elif connection.unread_for_s(now) > self._send_timeout_s:
                self._cut_off(connection, "unread")

    def _make_room(self, own: dict[Connection, None]) -> None:
        """Close some connections for a client that has its `own` already.

        Several each time, since finding them takes time.
        """
        if len(own) >= self._packed_from:
            return
        victims = self._victims(own)
        for each in victims:
            self._cut_off(each, "crowded")
        if not victims:
            self._packed_from = len(own)

    def _victims(self, own: dict[Connection, None]) -> list[Connection]:
        """Choose the connections to close: none of another client for one that has more than its share."""
        clients = len(self._by_client) + sum(client is None for client in self._inside.values()) + (not own)
        share = max(self._most // clients, 1)
        if len(own) > share:
            return self._idle(own)[: self._at_once]
        largest = max(self._by_client.values(), key=len, default={})
        excess = len(largest) - max(share, len(own) + 1)
        if excess > 0 and len(largest) > self._at_once:
            idle_first = dict.fromkeys([*self._idle(largest), *largest])
            return list(idle_first)[: min(excess, self._at_once)]
        return self._idle(self._inside)[: self._at_once] or list(largest)[: int(excess > 0)]

    def _idle(self, connections: Iterable[Connection]) -> list[Connection]:
        """Give the idle ones: first those on which nothing was ever asked, then those idle for longest.

        A connection that has just been opened may have sent a request that is not read yet, and one in use is idle for
        moments only: neither counts as idle.
        """
        inside, latest = list(connections), asyncio.get_running_loop().time() - IDLE_AFTER_S
        idle = [
            (each.is_used, each.idle_since, number) for number, each in enumerate(inside) if each.idle_since < latest
        ]
        return [inside[number] for *_, number in sorted(idle)]

    def _client(self, connection: Connection) -> Client | None:
        peer = connection.peername
        address = str(peer[0]) if isinstance(peer, list | tuple) else ""
        return client_at(address) if address and not self._trusts(address) else None

    def _of(self, client: Client | None) -> dict[Connection, None]:
        return self._by_client.get(client, {}) if client is not None else {}

    def _cut_off(self, connection: Connection, reason: str) -> None:
        self.leave(connection)
        self._metrics.cut_off(reason)
        connection.cut_off()
