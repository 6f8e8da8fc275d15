"""Where sign-outs are kept for other processes and for later: one value in Redis, or one file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

from proxy.cache.redis_tier import RedisTier
from proxy.coalesce.file_lock import lock_within
from proxy.sessions.ended_sessions import TAG_BYTES

KEY = "e:sessions"
LASTS_S = 500 * 86400
"""Longer than any session."""
_LOCK_S = 1.0
"""How long another process that replaces the file is waited for."""
_GET = """
local held = redis.pcall('get', KEYS[1])
if type(held) ~= 'string' then return '' end
if held ~= '' and string.sub(held, 1, 16) == ARGV[1] then return 1 end
return held
"""
_SET = """
local held = redis.pcall('get', KEYS[1])
if type(held) ~= 'string' then held = '' end
if string.sub(held, 1, 16) ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[2], 'px', ARGV[3])
return 1
"""


class StoreFailed(Exception):
    """The store did not answer, or refused."""


class Store(Protocol):
    """One value, replaced only by those who have seen the last. Its first `TAG_BYTES` bytes name it."""

    name: str
    settle_s: float
    """How long processes that were cut off may take to be back, once a store is back that has lost what it held."""

    async def get(self, known: bytes) -> bytes | None:
        """Give the value; None when its tag is the one that is known, nothing when there is none."""

    async def set(self, known: bytes, value: bytes) -> bool:
        """Replace the value whose tag is known; False when it is another by now."""


class RedisStore:
    """The value that all replicas of one Redis share."""

    name = "redis"

    def __init__(self, redis: RedisTier, settle_s: float) -> None:
        self.settle_s = settle_s
        self._connections = redis.connections
        self._seal = redis.seal
        self._key = redis.build_key(KEY)

    async def get(self, known: bytes) -> bytes | None:
        """Give the value, read by a script: it is sent only when it has changed."""
        reply = await self._eval(_GET, known)
        if not isinstance(reply, bytes):
            return None
        # What does not open keeps its tag, so that it is replaced: it counts as nothing then.
        return reply[:TAG_BYTES] + (self._seal.open(self._key, reply[TAG_BYTES:]) or b"")

    async def set(self, known: bytes, value: bytes) -> bool:
        """Replace the value."""
        sealed = value[:TAG_BYTES] + self._seal.seal(self._key, value[TAG_BYTES:])
        return await self._eval(_SET, known, sealed, LASTS_S * 1000) == 1

    async def _eval(self, script: str, *arguments: bytes | int) -> bytes | int:
        reply: bytes | int | None = await self._connections.ask(
            None, self._key, "EVAL", script, 1, self._key, *arguments
        )
        if reply is None:
            raise StoreFailed
        return reply


class FileStore:
    """The value that the processes of one machine share, and that outlives them."""

    name = "file"
    settle_s = 0.0

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[bytes, os.stat_result] | None = None

    async def get(self, known: bytes) -> bytes | None:
        """Give the value; the file is read again only after it was replaced."""
        return await asyncio.to_thread(self._get, known)

    async def set(self, known: bytes, value: bytes) -> bool:
        """Replace the file, in one step and for good."""
        return await asyncio.to_thread(self._set, known, value)

    def _get(self, known: bytes) -> bytes | None:
        try:
            status = self._path.stat()
            if known and self._seen is not None and self._seen[0] == known and _is_same(status, self._seen[1]):
                return None
            value = self._path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise StoreFailed from error
        self._seen = (value[:TAG_BYTES], status)
        return None if known and value[:TAG_BYTES] == known else value

    def _set(self, known: bytes, value: bytes) -> bool:
        try:
            with self._locked():
                if self._read()[:TAG_BYTES] != known:
                    return False
                fresh = self._path.with_name(self._path.name + ".new")
                with _private(fresh) as file:
                    file.write(value)
                    file.flush()
                    os.fsync(file.fileno())
                fresh.replace(self._path)
        except OSError as error:
            raise StoreFailed from error
        return True

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from replacing the file; the lock ends with its holder."""
        with _private(self._path.with_name(self._path.name + ".lock")) as lock:
            lock_within(_LOCK_S, lock.fileno())
            yield


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_size, one.st_mtime_ns) == (other.st_ino, other.st_size, other.st_mtime_ns)


def _private(path: Path) -> BinaryIO:
    """Open a file that nobody else may read, empty."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
