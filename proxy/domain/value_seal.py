"""Seals values for stores that others may read or write, such as Redis."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_MARK_BYTES = 4
_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_INFO = b"thumb-proxy/values/1"


class _Master(NamedTuple):
    mark: bytes
    """Says which secret opens a value; says nothing about the secret."""
    key: bytes


class ValueSeal:
    """Seals with the first secret and opens with any; without secrets values stay as they are.

    AES-256-GCM (NIST SP 800-38D) with a random nonce, under a key that is derived from the secret and the value's name
    (keyed BLAKE2b): a value that is moved to another name does not open there, and no key seals often enough for two
    nonces to meet. A value that is put back under its own name later does open again: what ends has its end inside.
    """

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._masters = [_master(secret) for secret in secrets]

    def seal(self, name: str, value: bytes) -> bytes:
        """Give the value as the store may hold it under this name."""
        if not self._masters:
            return value
        master, nonce = self._masters[0], os.urandom(_NONCE_BYTES)
        return b"".join((master.mark, nonce, _cipher(master, name).encrypt(nonce, value, None)))

    def open(self, name: str, sealed: bytes) -> bytes | None:
        """Give back what was sealed for this name; None for anything else."""
        if not self._masters:
            return sealed
        if len(sealed) < _MARK_BYTES + _NONCE_BYTES + _TAG_BYTES:
            return None
        nonce, body = sealed[_MARK_BYTES : _MARK_BYTES + _NONCE_BYTES], memoryview(sealed)[_MARK_BYTES + _NONCE_BYTES :]
        for master in self._masters:
            if sealed.startswith(master.mark):
                try:
                    return _cipher(master, name).decrypt(nonce, body, None)
                except InvalidTag:
                    continue  # two secrets may by chance have one mark
        return None


def _master(secret: str) -> _Master:
    material = HKDF(SHA256(), _KEY_BYTES + _MARK_BYTES, salt=None, info=_INFO).derive(secret.encode())
    return _Master(material[_KEY_BYTES:], material[:_KEY_BYTES])


def _cipher(master: _Master, name: str) -> AESGCM:
    return AESGCM(blake2b(name.encode(), key=master.key, digest_size=_KEY_BYTES).digest())
