"""Base64url without padding, as JSON web tokens and URLs have it (RFC 7515 §2)."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode


def encoded(raw: bytes) -> str:
    """Write bytes as text."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Read text of the alphabet; whatever else is in it is skipped. Raises ValueError for an impossible length."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
