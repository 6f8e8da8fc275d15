"""A lease as it came out of an attempt to take it, and a read that leads where it finds nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto

from proxy.domain.shared_write import Commit


class LeaseHolder(Enum):
    """The holder of a lease after an attempt to take it."""

    MINE = auto()
    OTHERS = auto()
    UNKNOWN = auto()
    """Redis is in trouble, so that nobody can say."""


@dataclass(slots=True)
class Lease:
    """The outcome of an attempt. Its holder leaves a message and a value to the others, if the work ends well."""

    held: LeaseHolder
    found: bytes = b""
    """The value that stood under the key when the lease was taken; empty for nothing."""
    message: bytes | None = None
    """For those who wait; None where the work has failed."""
    commit: Commit | None = None
    """Makes the value that is to stand under the key, in the step that ends the lease."""


class Claim:
    """A read of a stored value that leads in loading it where there is none."""

    def __init__(self, look: Callable[[], Awaitable[bytes | None]]) -> None:
        self._look = look
        self.is_made = False

    async def read(self) -> bytes | None:
        """Give the value as it is stored; None for nothing, or trouble."""
        self.is_made = True
        return await self._look()
