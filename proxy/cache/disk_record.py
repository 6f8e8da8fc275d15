"""Entries and texts as the disk holds them: sealed, each with its end inside."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from typing import TypeAlias

from proxy.cache.disk_room import KEY_BYTES
from proxy.cache.disk_store import Put
from proxy.domain import codec
from proxy.domain.keys import site_digest
from proxy.domain.model import Entry
from proxy.domain.value_seal import ValueSeal

Value: TypeAlias = Entry | str

_CHECKSUM = ("a well-known key: without seal.keys it finds damage, and hides nothing",)
_EXPIRES = Struct("<d")
_ENTRY, _TEXT = b"e", b"t"


class Records:
    """Writes and reads the records of one Cloudreve site. What is damaged, over or moved to another key is none."""

    def __init__(self, site: str, secrets: Iterable[str]) -> None:
        self._prefix = f"v{codec.VERSION}:{site_digest(site)}:"
        self._seal = ValueSeal(tuple(secrets) or _CHECKSUM)

    def key(self, key: str) -> bytes:
        """Give the key under which the record of a tier's key stands."""
        return blake2b((self._prefix + key).encode(), digest_size=KEY_BYTES).digest()

    def record(self, key: str, value: Value, expires: float) -> Put:
        """Write a record; a text is there until its end."""
        is_text = isinstance(value, str)
        body = _TEXT + value.encode() if isinstance(value, str) else _ENTRY + codec.encode(value)
        return Put(self._seal.seal(self._prefix + key, _EXPIRES.pack(expires) + body), expires, is_text)

    def value(self, key: str, record: bytes, now: float) -> Value | None:
        """Read a record."""
        raw = self._seal.open(self._prefix + key, record)
        if raw is None or len(raw) <= _EXPIRES.size or not _EXPIRES.unpack_from(raw)[0] > now:
            return None
        kind, body = raw[_EXPIRES.size : _EXPIRES.size + 1], raw[_EXPIRES.size + 1 :]
        return codec.decode(body) if kind == _ENTRY else body.decode("utf-8", "replace")
