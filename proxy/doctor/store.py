"""Checks Redis: its latency, its version, its memory limit, and the right to write."""

from __future__ import annotations

import os
import socket
import ssl
import statistics
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError
from redis.backoff import NoBackoff

from proxy.doctor.finding import Finding, Verdict
from proxy.redis.client import PATIENCE, address_of, connect
from proxy.settings.redis_url import RedisAddress, RedisKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.settings import RedisSettings

Client: TypeAlias = Redis | RedisCluster

PINGS = 5
PATIENCE_S = 2.0
"""Longer than the gateway waits, so that a slow Redis is told from an absent one."""
OLDEST = (6, 2)


async def examine_redis(settings: RedisSettings, workers: int = 1) -> list[Finding]:
    """Connect to Redis, when one is configured, and try what the gateway will do with it."""
    if settings.url is None:
        return [_absent(workers)]
    client = _client(address_of(settings.url), settings)
    try:
        return [
            await _latency(client, settings),
            await _writing(client, settings),
            *await _server(client),
        ]
    except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as error:
        return [Finding(Verdict.PROBLEM, "redis", f"Redis cannot be used: {_sentence(_why(error))}")]
    finally:
        await client.aclose()


def _absent(workers: int) -> Finding:
    if workers == 1:
        return Finding(Verdict.OK, "redis", "None is configured: the memory tier serves alone.")
    text = (
        f"None is configured, so that each of the {workers} workers (server.workers) keeps a cache of its own and asks "
        "Cloudreve by itself. Set redis.url: then they share both."
    )
    return Finding(Verdict.ADVICE, "redis", text)


def _client(address: RedisAddress, settings: RedisSettings) -> Client:
    """Make a client as the gateway has it, with a longer timeout; for a cluster, redis-py's own."""
    if address.kind is not RedisKind.CLUSTER:
        return connect(address, settings.model_copy(update={"timeout_s": PATIENCE_S / PATIENCE}))
    return RedisCluster.from_url(
        address.url,
        startup_nodes=[ClusterNode(host, port) for host, port in address.hosts],
        socket_timeout=PATIENCE_S,
        socket_connect_timeout=PATIENCE_S,
        retry=Retry(NoBackoff(), 0),
    )


async def _latency(client: Client, settings: RedisSettings) -> Finding:
    latencies_s = []
    for _ in range(PINGS):
        started = time.perf_counter()
        await client.ping()
        latencies_s.append(time.perf_counter() - started)
    median_s = statistics.median(latencies_s)
    text = f"Redis answers in {median_s * 1000:.1f} ms (median of {PINGS})."
    if median_s < settings.timeout_s:
        return Finding(Verdict.OK, "redis", text)
    text += f" The gateway waits {settings.timeout_s * 1000:g} ms (redis.timeout_s) and would go without it."
    return Finding(Verdict.PROBLEM, "redis", text)


async def _writing(client: Client, settings: RedisSettings) -> Finding:
    """Write, read and delete one key below the namespace."""
    key = f"{settings.namespace}:check:{os.getpid()}"
    try:
        await client.set(key, b"check", px=10_000)
        has_it = await client.get(key) == b"check"
        await client.delete(key)
    except exceptions.ResponseError as error:
        return Finding(Verdict.PROBLEM, "redis", f"Redis does not let the gateway write: {_sentence(_why(error))}")
    if has_it:
        return Finding(Verdict.OK, "redis", f"Keys below {settings.namespace!r} can be written and read.")
    return Finding(Verdict.PROBLEM, "redis", "Redis loses what was just written: is it a proxy or a replica?")


async def _server(client: Client) -> list[Finding]:
    try:
        info: dict[str, Any] = await client.info("server") | await client.info("memory")
    except exceptions.ResponseError:
        return [Finding(Verdict.ADVICE, "redis", "This user may not ask for INFO; version and limits are not known.")]
    return [version(info), _limit(info)]


def version(info: dict[str, Any]) -> Finding:
    """Judge the version that INFO names."""
    version = str(info.get("redis_version", ""))
    name = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {version}"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers >= OLDEST:
        return Finding(Verdict.OK, "redis", f"This is {name}.")
    return Finding(Verdict.PROBLEM, "redis", f"This is {name}; the gateway needs 6.2 or later.")


def _limit(info: dict[str, Any]) -> Finding:
    limit, policy = int(info.get("maxmemory", 0)), str(info.get("maxmemory_policy", "noeviction"))
    if not limit:
        text = "It has no memory limit: set maxmemory, and maxmemory-policy allkeys-lru, to keep it from growing."
        return Finding(Verdict.ADVICE, "redis", text)
    megabytes = f"{limit / 1024 / 1024:.0f} MiB"
    if policy == "noeviction":
        text = f"It refuses writes when its {megabytes} are full: set maxmemory-policy to allkeys-lru."
        return Finding(Verdict.ADVICE, "redis", text)
    return Finding(Verdict.OK, "redis", f"It keeps {megabytes} and then evicts ({policy}).")


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (MasterNotFoundError, "no Sentinel answers that knows a server by the name in redis.url"),
    (exceptions.RedisClusterException, "none of the servers in redis.url answers as one of a cluster does"),
    (socket.gaierror, "there is no host of the name in redis.url"),
    (ssl.SSLError, "there is no TLS with a trusted certificate; without TLS redis.url begins with redis://"),
    (exceptions.AuthenticationError, "it does not accept the user name or password in redis.url"),
    (exceptions.BusyLoadingError, "it is still loading its data"),
    (exceptions.ReadOnlyError, "it is a read-only replica"),
    (exceptions.NoPermissionError, "the user in redis.url lacks the permission"),
    (exceptions.OutOfMemoryError, "its memory is full"),
    (exceptions.InvalidResponse, "what answers there is no Redis; is the port in redis.url the right one?"),
    (exceptions.TimeoutError, f"no answer within {PATIENCE_S:g} s"),
    (TimeoutError, f"no answer within {PATIENCE_S:g} s"),
)


def _sentence(reason: str) -> str:
    return reason if reason.endswith("?") else f"{reason}."


def _why(error: BaseException) -> str:
    """Say what went wrong without the library's message, which may hold an address or a command."""
    for one in _chain(error):  # over a unix socket redis-py wraps what the greeting meets
        for kind, reason in _REASONS:
            if isinstance(one, kind):
                return reason
        if isinstance(one, exceptions.ResponseError) and "DB index" in str(one):
            return "it has no database of the number in redis.url"
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno and one.errno > 0:
            return os.strerror(one.errno).lower()
    if isinstance(error, exceptions.ConnectionError | OSError):
        return "what answers at redis.url breaks the connection off; is it a Redis?"
    return f"it answers with an error ({type(error).__name__})"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give an error and those that it came from."""
    behind: BaseException | None = error
    while behind is not None:
        yield behind
        behind = behind.__cause__ or behind.__context__
