"""A lease as it came out of an attempt to take it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class LeaseHolder(Enum):
    """Who holds a lease after an attempt to take it."""

    MINE = auto()
    OTHERS = auto()
    UNKNOWN = auto()
    """Redis is in trouble, so that nobody can say."""


@dataclass(slots=True)
class Lease:
    """The outcome of an attempt. Whoever holds it leaves what others want to know, if the work ends well."""

    held: LeaseHolder
    found: bytes = b""
    """What stood under the key when the lease was taken; empty for nothing."""
    message: bytes | None = None
    """What the others are told; None for work that has failed."""
    entry: bytes = b""
    ttl_s: float = 0.0
    """For how long the entry is to stand under the key; not at all if not positive."""
