"""Proof key for code exchange (RFC 7636): a code can be redeemed only by the client that asked for it."""

from __future__ import annotations

import hashlib

from proxy.domain.base64url import encoded

METHOD = "S256"


def challenge_of(verifier: str) -> str:
    """Return the code challenge for a verifier (RFC 7636 §4.2)."""
    return encoded(hashlib.sha256(verifier.encode("ascii")).digest())
