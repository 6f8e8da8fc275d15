"""The seal: bytes that only this gateway's replicas can read and nobody can change, as text for a URL or a cookie."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from proxy.domain.base64url import decoded, encoded
from proxy.domain.errors import BadSeal

MAX_PAYLOAD_BYTES = 6000
"""Sealed it takes a third more, which still fits into the 8 KiB that front ends commonly allow a request line."""

_NAME_BYTES = 4
_SIV_KEY_BYTES = 64
_TAG_BYTES = 16
_MAX_TEXT = (_NAME_BYTES + _TAG_BYTES + MAX_PAYLOAD_BYTES) * 4 // 3 + 4
_TEXT = re.compile(r"[A-Za-z0-9_-]+")


class Purpose(StrEnum):
    """A text sealed for one purpose cannot be opened for another: each has keys of its own."""

    URL = "url"
    SESSION = "session"
    RENEWAL = "renewal"
    """A renewed session on its way to the other replicas: there it is no cookie."""
    STATE = "state"


class _Key(NamedTuple):
    name: bytes
    """Says which key opens a text; says nothing about the key."""
    siv: AESSIV


class Sealer:
    """Seals with the first secret and opens with any, so that secrets can be rotated.

    Deterministic (AES-SIV, RFC 5297): one payload has one sealed text on every replica, and there is no nonce that
    could be used twice. Two equal texts tell that their payloads are equal, and nothing else but length.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise ValueError("a sealer needs a secret")
        self._rings = {purpose: [_key(secret, purpose) for secret in secrets] for purpose in Purpose}

    def seal(self, purpose: Purpose, payload: bytes) -> str:
        """Give the payload as base64url text; raise ValueError for more than MAX_PAYLOAD_BYTES."""
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"{len(payload)} bytes are too much to seal")
        key = self._rings[purpose][0]
        return encoded(key.name + key.siv.encrypt(payload, None))

    def open(self, purpose: Purpose, text: str) -> bytes:
        """Give back what was sealed for this purpose; raise BadSeal for anything else, whatever it is."""
        raw = _raw(text)
        for key in self._rings[purpose]:
            if raw.startswith(key.name):
                try:
                    return key.siv.decrypt(raw[_NAME_BYTES:], None)
                except InvalidTag:
                    continue  # two secrets may by chance have one name
        raise BadSeal("This was not sealed here: it has been changed, or the key has been replaced since.")


def _key(secret: str, purpose: Purpose) -> _Key:
    derived = HKDF(SHA256(), _SIV_KEY_BYTES + _NAME_BYTES, salt=None, info=f"thumb-proxy/seal/1/{purpose}".encode())
    material = derived.derive(secret.encode())
    return _Key(material[_SIV_KEY_BYTES:], AESSIV(material[:_SIV_KEY_BYTES]))


def _raw(text: str) -> bytes:
    """Undo `encoded`; of the spellings that a lenient decoder would take for one another only ours counts."""
    raw = b""
    if len(text) <= _MAX_TEXT and _TEXT.fullmatch(text) and len(text) % 4 != 1:
        raw = decoded(text)
    if len(raw) < _NAME_BYTES + _TAG_BYTES or encoded(raw) != text:
        raise BadSeal("This was not sealed here: it is cut, or was never whole.")
    return raw
