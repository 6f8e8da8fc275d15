"""The connections to Redis: to one server, named by its URL or by Sentinels, or to a cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pydantic import SecretStr

from proxy.redis.client import address_of, connect
from proxy.redis.cluster import ClusterClient
from proxy.redis.connection import RedisConnection
from proxy.redis.failures import RedisFailure
from proxy.settings import RedisSettings
from proxy.settings.redis_url import RedisKind

RedisConnections: TypeAlias = RedisConnection | ClusterClient


def connections_to(
    url: SecretStr, settings: RedisSettings, timer: Callable[[], float], observe: Callable[[RedisFailure], None]
) -> RedisConnections:
    """Prepare the connections to the Redis that a URL names; raise ValueError for one that cannot be used.

    `observe` is told of every trouble, once each time.
    """
    address = address_of(url)
    client = connect(address, settings)  # of a cluster too, to see whether its options can be used
    if address.kind is RedisKind.CLUSTER:
        return ClusterClient(address, settings, timer, observe)
    return RedisConnection(client, settings, timer, observe)
