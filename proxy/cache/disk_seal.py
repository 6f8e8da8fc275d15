"""Seals records for the disk, so that one is opened in the time of a decryption: its key is at hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MARK_BYTES = 4
"""At the beginning of a sealed record; says which secret opens it, and nothing about the secret."""
NONCE_END = MARK_BYTES + 12

_TAG_BYTES = 16
_KEY_BYTES = 32
_KEYS = 256
_INFO = b"thumb-proxy/disk/1"


class Opened(NamedTuple):
    """An opened record, and the cipher that has opened it with the nonce, which no other record has."""

    value: bytes
    cipher: AESGCM
    nonce: bytes


class _Master(NamedTuple):
    mark: bytes
    ciphers: tuple[AESGCM, ...]
    name_key: bytes


class DiskSeal:
    """Seals with the first secret and opens with any, under the name of the record.

    AES-256-GCM (NIST SP 800-38D) with a random nonce, the record's name being authenticated with it. The first byte of
    the name, a digest, chooses one of 256 keys: each may seal 2^32 records before two nonces may meet (section 8.3).
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        self._masters = [_master(secret) for secret in secrets]

    def names(self, key: bytes, size_bytes: int) -> tuple[bytes, ...]:
        """Give the name of a key under each secret, in order: without the secret nobody can tell which key it is."""
        return tuple(blake2b(key, key=master.name_key, digest_size=size_bytes).digest() for master in self._masters)

    def seal(self, name: bytes, value: bytes) -> bytes:
        """Give the value as the disk may hold it under this name."""
        master, nonce = self._masters[0], os.urandom(NONCE_END - MARK_BYTES)
        return b"".join((master.mark, nonce, master.ciphers[name[0]].encrypt(nonce, value, name)))

    def open(self, name: bytes, sealed: bytes) -> Opened | None:
        """Give back what was sealed under this name; None for anything else."""
        if len(sealed) < NONCE_END + _TAG_BYTES:
            return None
        for master in self._masters:
            if sealed.startswith(master.mark):
                cipher, nonce = master.ciphers[name[0]], sealed[MARK_BYTES:NONCE_END]
                try:
                    value = cipher.decrypt(nonce, memoryview(sealed)[NONCE_END:], name)
                except InvalidTag:
                    continue  # two secrets may by chance have one mark
                return Opened(value, cipher, nonce)
        return None


def _master(secret: str) -> _Master:
    material = HKDF(SHA256(), 2 * _KEY_BYTES + MARK_BYTES, salt=None, info=_INFO).derive(secret.encode())
    mark, name_key = material[_KEY_BYTES : _KEY_BYTES + MARK_BYTES], material[_KEY_BYTES + MARK_BYTES :]
    keys = (blake2b(bytes([n]), key=material[:_KEY_BYTES], digest_size=_KEY_BYTES).digest() for n in range(_KEYS))
    return _Master(mark, tuple(map(AESGCM, keys)), name_key)
