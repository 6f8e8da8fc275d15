"""The order of questions to Cloudreve and of changes, without any clock."""

from __future__ import annotations

from typing import NamedTuple


class GrantStamp(NamedTuple):
    """How far a process had read the log of changes when it asked Cloudreve. It orders the two without clocks."""

    origin: bytes = b""
    """The process that asked."""
    heard: int = 0
    """How many changes that process had heard of."""
    log: str = ""
    """The log of changes that it follows; empty for none."""
    position: int = 0
    """How far it had read it."""


UNSTAMPED = GrantStamp()
"""Of what was never asked of Cloudreve: any change that is known ends it."""
