"""The version of a picture: upstream's ETag, or a digest of the bytes where upstream gave none."""

from __future__ import annotations

import re
from hashlib import blake2b

_ENTITY_TAG = re.compile(r'(?:W/)?"[\x20\x21\x23-\x7e]*"')


def version_of(etag: str, body: bytes) -> str:
    """Return the version of a complete picture; `etag` is upstream's as received, or empty."""
    return etag or f"blake2b-{blake2b(body, digest_size=20).hexdigest()}"


def etag_in(version: str) -> str:
    """Return the ETag with which upstream can be asked whether this version is still current.

    Empty where upstream gave none, or one that could not be sent back as it came.
    """
    return version if _ENTITY_TAG.fullmatch(version) else ""
