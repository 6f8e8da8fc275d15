"""Short texts that every process of one disk, and every replica of one Redis, may read: sealed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cachetools import TLRUCache

from proxy.cache.disk_tier import DiskTier
from proxy.cache.redis_tier import RedisTier

MAX_VALUES = 20_000
"""How many this process remembers by itself; one of a session takes a kilobyte or two."""


class _Value(NamedTuple):
    text: str
    until: float


class SharedValues:
    """Texts by key, each for a time of its own. While neither disk nor Redis serves, a process has its own."""

    def __init__(self, redis: RedisTier | None, timer: Callable[[], float], disk: DiskTier | None = None) -> None:
        self._redis = redis
        self._disk = disk
        self._timer = timer
        self._kept: TLRUCache[str, _Value] = TLRUCache(MAX_VALUES, ttu=lambda _, note, __: note.until, timer=timer)

    def get_nowait(self, key: str) -> str | None:
        """Give the text that this process has read or written."""
        note = self._kept.get(key)
        return note.text if note else None

    def set_nowait(self, key: str, text: str, ttl_s: float) -> None:
        """Write here alone."""
        if ttl_s > 0:
            self._kept[key] = _Value(text, self._timer() + ttl_s)

    async def get(self, key: str) -> str | None:
        """Give the text that any process has written. One of others is not kept here: its reader knows its end."""
        own = self.get_nowait(key)
        return own if own is not None else next(iter(await self.get_shared(key)), None)

    async def get_shared(self, key: str) -> tuple[str, ...]:
        """Give the texts of Redis and of the disk: while Redis was away they may have become different."""
        near = await self._disk.get_text(key) if self._disk is not None else None
        far = await self._in_redis(key)
        return tuple(text for text in dict.fromkeys((far, near)) if text is not None)

    async def get_most_shared(self, key: str) -> str | None:
        """Give what the tier has that most processes share, whatever this process remembers."""
        if self._redis is not None:
            return await self._in_redis(key)
        return await self._disk.get_text(key) if self._disk is not None else self.get_nowait(key)

    def opened(self, key: str, value: bytes) -> str | None:
        """Give the text in a value that stood in Redis under the key; None for anything else."""
        opened = self._redis.seal.open(self._redis.build_key(key), value) if self._redis is not None else None
        return opened.decode("ascii", "replace") if opened is not None else None

    async def _in_redis(self, key: str) -> str | None:
        if self._redis is None:
            return None
        value = await self._redis.connections.read(self._redis.build_key(key))
        return self.opened(key, value) if value is not None else None

    async def set(self, key: str, text: str, ttl_s: float) -> None:
        """Write for `ttl_s` seconds: here at once, on disk and in Redis by the end."""
        self.set_nowait(key, text, ttl_s)
        if self._disk is not None:
            await self._disk.set_text(key, text, ttl_s)
        if self._redis is not None and ttl_s > 0:
            await self._set_in_redis(self._redis, key, text, ttl_s)

    async def set_most_shared(self, key: str, text: str, ttl_s: float) -> None:
        """Write for `get_most_shared` alone a text that may be lost: on disk others drive it out."""
        if self._redis is not None:
            await self._set_in_redis(self._redis, key, text, ttl_s)
        elif self._disk is not None:
            self._disk.set_text_nowait(key, text, ttl_s, is_pinned=False)
            await self._disk.written()
        else:
            self.set_nowait(key, text, ttl_s)

    @staticmethod
    async def _set_in_redis(redis: RedisTier, key: str, text: str, ttl_s: float) -> None:
        name, ttl_ms = redis.build_key(key), max(int(ttl_s * 1000), 1)
        value = redis.seal.seal(name, text.encode())
        await redis.connections.ask(False, name, "SET", name, value, "PX", ttl_ms)
