"""The redis-py client as this gateway wants it: short timeouts, no retries, RESP2, a pool that waits its turn."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from proxy.settings import RedisSettings
from proxy.settings.redis_url import ACCEPTED, RedisAddress, RedisKind, read_redis_url

SPARE_CONNECTIONS = 3
"""Beside those for commands: for pub/sub, for a probe, and for callers of the client itself."""
PATIENCE = 4
"""So many times as long as anybody waits for it may a reply take: to a busy process it may be here already."""


def max_batches(settings: RedisSettings) -> int:
    """Tell how many batches of commands may be under way at a time."""
    return max(settings.max_connections - SPARE_CONNECTIONS, 1)


class _Sentinels(Sentinel):
    """All Sentinels, none of which is lost.

    redis-py moves the one that has answered to the front. Where two look for the master at the same time and both move
    the second one, it stands in two places, and the first one in none: it would be neither asked nor closed any more.
    """

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Ask one after the other for the master's address."""
        everyone = tuple(self.sentinels)
        found: tuple[str, int] = await super().discover_master(service_name)
        self.sentinels[:] = dict.fromkeys((*self.sentinels, *everyone))
        return found


class _MasterPool(SentinelConnectionPool):
    """Connections to whichever server the Sentinels name; closes the connections to these too."""

    async def aclose(self) -> None:
        try:
            await super().aclose()
        finally:
            await self.sentinel_manager.aclose()


def address_of(url: SecretStr) -> RedisAddress:
    """Read the URL; raise ValueError, with nothing of it in the message, for one that cannot be used."""
    try:
        return read_redis_url(url.get_secret_value())
    except ValueError as error:
        raise ValueError(f"redis.url cannot be used: {error}; accepted is {ACCEPTED}") from None


def connect(address: RedisAddress, settings: RedisSettings) -> Redis:
    """Build a client, which connects when first used; raise ValueError for options that redis-py cannot use.

    Of a cluster it is a client of the one server that `address.url` names.
    """
    try:
        pool = _master_pool(address, settings) if address.kind is RedisKind.SENTINEL else _pool(address, settings)
        pool.make_connection()  # type: ignore[no-untyped-call]  # connects nothing, but reads the options
    except (ValueError, TypeError, RedisError):  # their messages may quote the URL
        raise ValueError(f"redis.url has an option that cannot be used; accepted is {ACCEPTED}") from None
    return Redis.from_pool(pool)


def connect_to(host: str, port: int, address: RedisAddress, settings: RedisSettings) -> Redis:
    """Build a client of one server of a cluster."""
    return Redis.from_pool(_pool(address, settings, host=host, port=port))


def _pool(address: RedisAddress, settings: RedisSettings, **where: Any) -> BlockingConnectionPool:  # noqa: ANN401 - theirs
    options: dict[str, Any] = {**parse_url(address.url), **_common(settings), **where}
    return BlockingConnectionPool(
        max_connections=max_batches(settings) + SPARE_CONNECTIONS, timeout=settings.timeout_s, **options
    )


def _master_pool(address: RedisAddress, settings: RedisSettings) -> _MasterPool:
    options: dict[str, Any] = {**parse_url(address.url), **_common(settings)}
    options["ssl"] = options.pop("connection_class", None) is SSLConnection
    tls = {name: value for name, value in options.items() if name.startswith("ssl")}
    credentials = {"username": address.sentinel_username, "password": address.sentinel_password}
    sentinel_options = {**_common(settings), **tls, **credentials}
    sentinel = _Sentinels(address.hosts, sentinel_kwargs=sentinel_options)  # type: ignore[no-untyped-call]
    del options["host"], options["port"]
    options["max_connections"] = max_batches(settings) + SPARE_CONNECTIONS
    return _MasterPool(address.service, sentinel, **options)  # type: ignore[no-untyped-call]


def _common(settings: RedisSettings) -> dict[str, Any]:
    """Give what holds for every connection.

    RESP3 is not used: with it redis-py listens for maintenance notices, and for their sake no longer checks that a
    connection from the pool has no unread reply on it, which is the last line of defence against handing one request's
    reply to another. RESP2 needs no greeting either, so that a new connection costs no round trip.
    """
    return {
        "socket_timeout": settings.timeout_s * PATIENCE,
        "socket_connect_timeout": settings.timeout_s * PATIENCE,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,
    }
