"""A write to the tier that replicas share, as the bytes that this tier stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias


class SharedWrite(NamedTuple):
    """A value, and for how many milliseconds it lasts. With none it is not written."""

    value: bytes = b""
    ttl_ms: int = 0


Commit: TypeAlias = Callable[[], SharedWrite]
"""Makes the write when its time has come: in the step that ends a lease."""
