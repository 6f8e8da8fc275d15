"""Digests of lists of texts: lengths go in, so that no two lists make the same bytes."""

from __future__ import annotations

from hashlib import blake2b


def digest(state: blake2b, *fields: str) -> str:
    """Feed the texts to a fresh state and return its hexadecimal digest."""
    for text in fields:
        raw = text.encode("utf-8", "surrogatepass")  # headers may hold bytes that are no UTF-8
        state.update(len(raw).to_bytes(8, "big"))
        state.update(raw)
    return state.hexdigest()
