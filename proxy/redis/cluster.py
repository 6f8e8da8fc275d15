"""The connections to a Redis Cluster: a server that is away costs the values that it holds, and nothing else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar

import structlog
from redis.asyncio import Redis
from redis.cluster import parse_cluster_slots
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import ConnectionError as NoConnection

from proxy.background_tasks import BackgroundTasks
from proxy.domain.errors import Unreachable
from proxy.redis.circuit_breaker import State
from proxy.redis.client import PATIENCE, connect_to
from proxy.redis.connection import RedisConnection
from proxy.redis.failures import RedisFailure, redis_failure_of
from proxy.redis.pipelining import Word
from proxy.settings import RedisSettings
from proxy.settings.redis_url import RedisAddress

_log = structlog.get_logger("proxy.cache.redis_tier")
_T = TypeVar("_T")

Address: TypeAlias = tuple[str, int]

_OUTDATING = frozenset({RedisFailure.MOVED, RedisFailure.UNREACHABLE, RedisFailure.TIMEOUT})
"""Troubles after which the map of the cluster may be another."""
LEAVING = 2 * PATIENCE
"""So many times `timeout_s` closing the connections to one server takes at most."""


class ClusterClient:
    """Sends each command to the server that holds its key.

    redis-py's own client for clusters is not used: it waits and tries again where this gateway would rather go without,
    and when one server is away it closes its connections to all.
    """

    def __init__(
        self,
        address: RedisAddress,
        settings: RedisSettings,
        timer: Callable[[], float],
        observe: Callable[[RedisFailure], None],
    ) -> None:
        self._address = address
        self._settings = settings
        self._timer = timer
        self._observe = observe
        self._connections: dict[Address, RedisConnection] = {}
        self._slots: list[RedisConnection | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._others: set[Address] = set()
        self._mapping: asyncio.Task[None] | None = None
        self._map_at = timer()
        self._background_tasks = BackgroundTasks()
        self._leaving = BackgroundTasks()
        """Servers that hold no keys any more: their connections are being closed."""

    is_one_server = False

    @property
    def state(self) -> State:
        """Whether all servers are asked at present."""
        return (
            State.UP if {connection.state for connection in self._connections.values()} == {State.UP} else State.PAUSED
        )

    def is_available(self, key: str) -> bool:
        """Tell whether a command about this key may be sent."""
        connection = self._connection_of(key)
        return connection is not None and connection.is_available()

    async def read(self, key: str) -> bytes | None:
        """Give the value of a key; None when there is trouble."""
        connection = self._connection_of(key)
        return None if connection is None else await connection.read(key)

    def read_soon(self, keys: Sequence[str], receive: Callable[[Sequence[bytes | None]], None]) -> None:
        """Have the values of keys handed over, each as soon as its server has replied; None when there is trouble."""
        values: dict[str, bytes | None] = {}

        def take(key: str, value: Sequence[bytes | None]) -> None:
            values[key] = value[0]
            if len(values) == len(set(keys)):
                receive([values[each] for each in keys])

        for key in dict.fromkeys(keys):
            connection = self._connection_of(key)
            if connection is not None:
                connection.read_soon([key], partial(take, key))
            else:
                asyncio.get_running_loop().call_soon(take, key, [None])

    async def ask(self, fallback: _T, key: str, *words: Word, unheard: Callable[[_T], None] | None = None) -> _T:
        """Give the reply of the server that holds the key, or `fallback` when there is trouble."""
        connection = self._connection_of(key)
        return fallback if connection is None else await connection.ask(fallback, key, *words, unheard=unheard)

    def send(self, key: str, *words: Word) -> None:
        """Have a command sent to the server that holds the key, and wait for nothing."""
        connection = self._connection_of(key)
        if connection is not None:
            connection.send(key, *words)

    def clients(self) -> list[Redis]:
        """List a client of each server that holds keys, as far as they are known."""
        return [connection.client for connection in self._connections.values()]

    async def subscriber(self) -> Redis:
        """Give a client to hear news with: a cluster spreads them over all servers."""
        if not self._connections:
            await self._learn()
        clients = [connection.client for connection in self._connections.values() if connection.state is State.UP]
        return random.choice(clients or self.clients())  # noqa: S311 - one that is away is exchanged soon

    async def ping(self) -> float:
        """Measure the longest of all round trips in seconds; raise Unreachable saying what is wrong."""
        try:
            await self._learn()
        except Exception as error:
            raise Unreachable(redis_failure_of(error).explanation) from error
        return max(await asyncio.gather(*(connection.ping() for connection in self._connections.values())))

    async def aclose(self) -> None:
        """Let commands under way end, for `timeout_s` at most, and close all connections."""
        await self._background_tasks.aclose(self._settings.timeout_s)
        await self._leaving.aclose(LEAVING * self._settings.timeout_s)
        await asyncio.gather(*(connection.aclose() for connection in self._connections.values()))

    def _connection_of(self, key: str) -> RedisConnection | None:
        connection = self._slots[key_slot(key.encode())]
        if connection is None:
            self._outdate()
        return connection

    def _meet(self, trouble: RedisFailure) -> None:
        self._observe(trouble)
        if trouble in _OUTDATING:
            self._outdate()

    def _outdate(self) -> None:
        """Have the map drawn anew, once per pause."""
        if self._mapping is None and self._timer() >= self._map_at:
            self._mapping = self._background_tasks.start(self._map())

    async def _map(self) -> None:
        try:
            await self._learn()
        except Exception as error:  # noqa: BLE001 - what fails open lets no library's surprise through
            self._observe(redis_failure_of(error))
        finally:
            self._mapping, self._map_at = None, self._timer() + self._settings.pause_s

    async def _learn(self) -> None:
        """Draw the map as the first server tells it that answers."""
        up = [address for address, connection in self._connections.items() if connection.state is State.UP]
        trouble: Exception = NoConnection("No server of the cluster answers.")
        for host, port in dict.fromkeys([*up, *self._others, *self._address.hosts]):
            client = connect_to(host, port, self._address, self._settings)
            try:
                told = await client.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
                slots = parse_cluster_slots(told, current_host=host)
            except Exception as error:  # noqa: BLE001 - as above; the last of them is raised
                trouble = error
            else:
                if slots:
                    return self._draw(slots)
            finally:
                await client.aclose()
        raise trouble

    def _draw(self, slots: dict[tuple[int, int], dict[str, Any]]) -> None:
        self._slots = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._others = {replica for shard in slots.values() for replica in shard["replicas"]}
        before, self._connections = self._connections, {}
        for (first, last), shard in slots.items():
            address = shard["primary"]
            connection = self._connections.get(address) or before.pop(address, None) or self._connection_to(*address)
            self._connections[address] = connection
            self._slots[first : last + 1] = [connection] * (last + 1 - first)
        self._others |= before.keys()
        for connection in before.values():
            self._leaving.start(connection.aclose())
        _log.info("redis cluster mapped", servers=len(self._connections))

    def _connection_to(self, host: str, port: int) -> RedisConnection:
        client = connect_to(host, port, self._address, self._settings)
        return RedisConnection(client, self._settings, self._timer, self._meet, is_shard=True)
