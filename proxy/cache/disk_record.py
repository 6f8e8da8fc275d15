"""Entries and texts as the disk holds them: sealed, each with its end inside."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import NamedTuple, TypeAlias

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from proxy.cache.disk_room import KEY_BYTES
from proxy.cache.disk_seal import DiskSeal
from proxy.cache.disk_store import Put
from proxy.domain import codec
from proxy.domain.entry import Entry
from proxy.domain.keys import site_digest

Value: TypeAlias = Entry | str

_CHECKSUM = ("a well-known key: without seal.keys it finds damage, and hides nothing",)
_EXPIRES = Struct("<d")
_ENTRY, _TEXT = b"e", b"t"


class Record(NamedTuple):
    """A record, opened."""

    name: bytes
    """The key under which it stands."""
    value: Value
    expires: float
    plain: bytes
    """The sealed part of a record: its end, its kind, and the value as written."""
    cipher: AESGCM
    nonce: bytes


class Records:
    """Writes and reads the records of one Cloudreve site. A damaged, expired or moved record is none."""

    def __init__(self, site: str, secrets: Iterable[str]) -> None:
        self._prefix = f"v{codec.VERSION}:{site_digest(site)}:"
        self._seal = DiskSeal(tuple(secrets) or _CHECKSUM)

    def names(self, key: str) -> tuple[bytes, ...]:
        """Give the names under which the record of a tier's key may stand: it is written under the first."""
        return self._seal.names((self._prefix + key).encode(), KEY_BYTES)

    def record(self, name: bytes, value: Value, expires: float, is_pinned: bool = False) -> Put:
        """Write a record that is to stand under a name."""
        body = _TEXT + value.encode() if isinstance(value, str) else _ENTRY + codec.encode(value)
        return Put(self._seal.seal(name, _EXPIRES.pack(expires) + body), expires, is_pinned)

    def read(self, name: bytes, record: bytes, now: float) -> Record | None:
        """Read the record that stands under a name."""
        opened = self._seal.open(name, record)
        if opened is None or len(opened.value) <= _EXPIRES.size:
            return None
        expires: float = _EXPIRES.unpack_from(opened.value)[0]
        if not expires > now:
            return None
        kind, body = opened.value[_EXPIRES.size : _EXPIRES.size + 1], opened.value[_EXPIRES.size + 1 :]
        value = codec.decode(body) if kind == _ENTRY else body.decode("utf-8", "replace")
        return Record(name, value, expires, *opened) if value is not None else None
