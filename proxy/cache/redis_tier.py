"""The farthest tier, shared by replicas. It fails open: trouble with Redis is a miss or a dropped write, never slow."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from aiocache.backends.redis import RedisBackend, RedisCache
from aiocache.serializers import NullSerializer
from redis.asyncio import Redis
from redis.exceptions import RedisError

from proxy.cache import DEFAULT_TTL_S
from proxy.cache.shared_picture import SharedPicture
from proxy.domain import codec
from proxy.domain.entry import Entry
from proxy.domain.keys import site_digest
from proxy.domain.picture import Picture
from proxy.domain.shared_write import SharedWrite
from proxy.domain.source import Source
from proxy.domain.value_seal import ValueSeal
from proxy.redis.circuit_breaker import State
from proxy.redis.connect import RedisConnections, connections_to
from proxy.redis.failures import RedisFailure, redis_failure_of
from proxy.redis.lease import Claim
from proxy.settings import RedisSettings

PLAIN = ValueSeal()
"""Leaves values as they are."""
KINDS = "gps"
"""How the keys of entries begin: grants and refusals, pictures, versions seen under sealed URLs."""
_MAX_TTL_MS = 366 * 86400 * 1000
_SCAN_COUNT = 500


class RedisTier(RedisCache):
    """Stores entries in Redis under `{namespace}:v{codec}:{site}:`, sealed, each with a time to live."""

    source = Source.REDIS

    def __init__(
        self,
        connections: RedisConnections,
        namespace: str,
        site: str,
        observe: Callable[[RedisFailure], None] = lambda _: None,
        seal: ValueSeal = PLAIN,
    ) -> None:
        # RedisBackend's own constructor is left out: it insists on building a client. aiocache's timeout stays off: it
        # cancels commands that are under way.
        super(RedisBackend, self).__init__(
            serializer=NullSerializer(encoding=None),  # the seal of an entry depends on its key
            namespace=f"{namespace}:v{codec.VERSION}:{site_digest(site)}",
            timeout=None,
            ttl=DEFAULT_TTL_S,
        )
        self.connections = connections
        self.seal = seal
        self._observe = observe

    @classmethod
    def from_settings(
        cls,
        settings: RedisSettings,
        site: str,
        observe: Callable[[RedisFailure], None] = lambda _: None,
        timer: Callable[[], float] = time.monotonic,
        seal: ValueSeal = PLAIN,
    ) -> Self:
        """Build the tier of one Cloudreve site, named by its internal URL; raise ValueError for a bad Redis URL.

        `observe` is told of every trouble, once each time.
        """
        if settings.url is None:
            raise ValueError("redis.url is not set")
        return cls(connections_to(settings.url, settings, timer, observe), settings.namespace, site, observe, seal)

    def __repr__(self) -> str:
        return f"RedisTier({self.namespace}, {self.state.value})"

    @property
    def state(self) -> State:
        """Whether Redis is asked at present, or paused after trouble."""
        return self.connections.state

    @property
    def is_up(self) -> bool:
        """Tell whether Redis is asked at present; false while it is paused after trouble."""
        return self.state is State.UP

    async def get_claimed(self, key: str, claim: Claim) -> Entry | None:
        """Give the entry, read by a claim, which leads in loading it where there is none."""
        return self._opened(self.build_key(key), await claim.read())

    def opened(self, key: str, value: bytes) -> Entry | None:
        """Give the entry in a value that stood in Redis under the key; None for anything else."""
        return self._opened(self.build_key(key), value)

    def write(self, key: str, value: Entry, ttl: float) -> SharedWrite:
        """Give the bytes that `set` would store, and for how long."""
        return self._sealed(self.build_key(key), value, ttl)

    def shared(self, key: str, picture: Picture) -> SharedPicture:
        """Give a picture that was just found, to be read again by `read_soon`."""
        return SharedPicture(self.build_key(key), self.seal, picture)

    def read_soon(self, names: Sequence[str], receive: Callable[[Sequence[bytes | None]], None]) -> None:
        """Have values read by one command, and hand them over; None for nothing, or trouble."""
        self.connections.read_soon(names, receive)

    async def ping(self) -> float:
        """Measure a round trip in seconds, paused or not; raise Unreachable saying what is wrong."""
        return await self.connections.ping()

    async def aclose(self) -> None:
        """Let commands under way end, for `timeout_s` at most, and close all connections."""
        await self.connections.aclose()

    def _opened(self, name: str, value: bytes | None) -> Entry | None:
        """Read a value of Redis as if a stranger had written it."""
        opened = None if value is None else self.seal.open(name, value)
        entry = None if opened is None else codec.decode(opened)
        if value is not None and entry is None:
            self._observe(RedisFailure.GARBAGE)
        return entry

    def _sealed(self, name: str, value: Entry, ttl: float | None) -> SharedWrite:
        ttl_ms = _milliseconds(ttl)
        return SharedWrite(self.seal.seal(name, codec.encode(value)), ttl_ms) if ttl_ms > 0 else SharedWrite()

    async def _get(self, key: str, **_: object) -> Entry | None:
        return self._opened(key, await self.connections.read(key))

    async def _multi_get(self, keys: list[str], **_: object) -> list[Entry | None]:
        return await asyncio.gather(*map(self._get, keys))

    async def _set(self, key: str, value: Entry, ttl: float | None, **_: object) -> bool:
        if not self.connections.is_available(key):
            return False
        sealed, ttl_ms = self._sealed(key, value, ttl)
        return ttl_ms > 0 and bool(await self.connections.ask(False, key, "SET", key, sealed, "PX", ttl_ms))

    async def _multi_set(self, pairs: Iterable[tuple[str, Entry]], ttl: float | None, **_: object) -> bool:
        return all([await self._set(key, value, ttl) for key, value in pairs])

    async def _exists(self, key: str, **_: object) -> bool:
        return bool(await self.connections.ask(0, key, "EXISTS", key))

    async def _delete(self, key: str, **_: object) -> int:
        return await self.connections.ask(0, key, "UNLINK", key)

    async def _expire(self, key: str, ttl: float, **_: object) -> bool:
        """Give an entry another `ttl` seconds; none or less drops it, since nothing here lives for ever."""
        ttl_ms = _milliseconds(ttl)
        if ttl_ms <= 0:
            return await self._delete(key) > 0
        return bool(await self.connections.ask(False, key, "PEXPIRE", key, ttl_ms))

    async def _clear(self, namespace: str | None = None, **_: object) -> bool:
        """Delete all entries, or all that is under another prefix, and nothing else; tell whether Redis did it all."""
        kinds = f":[{KINDS}]" if namespace is None else ""
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", namespace or self.namespace) + kinds + ":*"
        swept = [await self._sweep(client, pattern) for client in self.connections.clients()]
        return bool(swept) and all(swept)

    async def _sweep(self, client: Redis, pattern: str) -> bool:
        """Drop the keys of one server."""
        try:
            async for key in client.scan_iter(match=pattern, count=_SCAN_COUNT):
                await client.unlink(key)
        except (RedisError, OSError) as error:
            self._observe(redis_failure_of(error))
            return False
        return True

    async def _add(self, *_: object, **__: object) -> None:
        raise NotImplementedError

    async def _increment(self, *_: object, **__: object) -> None:
        raise NotImplementedError

    async def _raw(self, *_: object, **__: object) -> None:
        raise NotImplementedError

    async def _close(self, *_: object, **__: object) -> None:
        await self.aclose()


def _milliseconds(ttl_s: float | None) -> int:
    """Give a time to live as Redis wants it, rounded down; 0 means that nothing is to be kept."""
    wanted = DEFAULT_TTL_S if ttl_s is None else ttl_s
    return int(min(wanted * 1000, _MAX_TTL_MS)) if wanted > 0 else 0
