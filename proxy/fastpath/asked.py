"""What a connection and the hit path hand to each other: a request that was asked, and the bytes of its answer."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import NamedTuple, TypeAlias

from aiohttp import web

from proxy.pictures.respond import Answer

EVIDENCE = web.RequestKey("evidence", Answer)
"""The answer that a response was made from, where the response is nothing but that."""

Wire: TypeAlias = tuple[bytes, bytes]
"""Head and body."""


class Asked(NamedTuple):
    """The one request that a connection is answering."""

    raw: bytes
    is_trusted: bool
    """Whether it came from a trusted proxy."""
    epoch: int
    """Of the hit path, when it came."""
    forgotten: int
    """How often the tiers had been told to forget something by then."""


def is_first(raw: bytes, once: MutableMapping[int, None]) -> bool:
    """Tell whether a request comes for the first time, as far as is known; take note of it in `once`."""
    name = hash(raw)
    if name in once:
        return False
    once[name] = None
    return True
