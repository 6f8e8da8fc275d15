"""Which state of a picture it is: upstream's ETag, or a digest of the bytes where it gave none."""

from __future__ import annotations

import re
from hashlib import blake2b

_ENTITY_TAG = re.compile(r'(?:W/)?"[\x20\x21\x23-\x7e]*"')


def version_of(etag: str, body: bytes) -> str:
    """Name the state of a complete picture; `etag` is upstream's as received, or empty."""
    return etag or f"blake2b-{blake2b(body, digest_size=20).hexdigest()}"


def etag_in(version: str) -> str:
    """Give back the ETag with which upstream can be asked whether this is still the state.

    Empty where upstream gave none, or one that could not be sent back as it came.
    """
    return version if _ENTITY_TAG.fullmatch(version) else ""
