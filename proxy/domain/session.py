"""Sessions, as the rooms beside their own know them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """A session as the visitor's browser is to keep it."""

    value: str = field(repr=False)
    """Sealed."""
    lasts_s: float


class SessionRef(NamedTuple):
    """Names a session: whose it is, its id and when it began."""

    user: str
    id: str
    started: float
