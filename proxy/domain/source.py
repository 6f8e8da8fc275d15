"""Where something came from."""

from __future__ import annotations

from enum import StrEnum


class Source(StrEnum):
    """Where a step found its value."""

    MEMORY = "memory"
    DISK = "disk"
    REDIS = "redis"
    UPSTREAM = "upstream"
    STALE = "stale"
    """A grant that has run out, during an outage that the configuration bridges."""
    SEALED = "sealed"
    """A grant that the request itself brought, in a sealed URL."""
