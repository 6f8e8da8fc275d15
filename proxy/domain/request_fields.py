"""The header fields of a request that can change its answer: one table, and the names that are derived from it.

The key of a finished answer, `Vary` and the preflights go through this table, so that a new field is one line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto


class InKey(Enum):
    """How a field gets into the key of a finished answer."""

    NO = auto()
    """Not at all: it changes no answer."""
    VALUE = auto()
    """As received."""
    OUTCOME = auto()
    """By the outcome of a rule that reads it (`fastpath.key`)."""
    KEEP_ALIVE = auto()
    """Not at all where it says `keep-alive`; anything else is answered the long way."""
    NEVER = auto()
    """A request that has it is answered the long way."""


class Vary(Enum):
    """Which answers name a field in `Vary`."""

    NONE = auto()
    ALL = auto()
    PRIVATE = auto()
    """Private ones alone."""
    PAGE = auto()
    """Those for which it matters which page asks."""


class Preflight(Enum):
    """To which scripts of other origins a preflight allows a field."""

    NONE = auto()
    PUBLIC = auto()
    """To all."""
    PRIVATE = auto()
    """To those that may read private pictures."""


@dataclass(frozen=True, slots=True)
class RequestField:
    """One header field."""

    name: str
    in_key: InKey = InKey.NO
    is_sent_upstream: bool = False
    """Whether it is sent to Cloudreve when a thumbnail is resolved."""
    vary: Vary = Vary.NONE
    preflight: Preflight = Preflight.NONE


REQUEST_FIELDS = (
    RequestField("Authorization", InKey.OUTCOME, is_sent_upstream=True, vary=Vary.ALL, preflight=Preflight.PRIVATE),
    RequestField(
        "X-Cr-Purchase-Ticket", InKey.VALUE, is_sent_upstream=True, vary=Vary.ALL, preflight=Preflight.PRIVATE
    ),
    RequestField("Cookie", InKey.OUTCOME, vary=Vary.PRIVATE),
    RequestField("Accept", InKey.OUTCOME),
    RequestField("Origin", InKey.OUTCOME, vary=Vary.PAGE),
    RequestField("Sec-Fetch-Site", InKey.OUTCOME, vary=Vary.PAGE),
    RequestField("Referer", InKey.OUTCOME, vary=Vary.PAGE),
    RequestField("Host", InKey.OUTCOME),
    RequestField("X-Forwarded-For", InKey.OUTCOME),
    RequestField("X-Forwarded-Proto", InKey.OUTCOME),
    RequestField("X-Forwarded-Host", InKey.OUTCOME),
    RequestField("Forwarded", InKey.OUTCOME),
    RequestField("If-Match", preflight=Preflight.PUBLIC),
    RequestField("If-None-Match", InKey.VALUE, preflight=Preflight.PUBLIC),
    RequestField("If-Range", InKey.NEVER, preflight=Preflight.PUBLIC),
    RequestField("Range", InKey.NEVER, preflight=Preflight.PUBLIC),
    RequestField("X-Cr-Context-Hint", preflight=Preflight.PUBLIC),
    RequestField("Connection", InKey.KEEP_ALIVE),
    RequestField("Proxy-Connection", InKey.KEEP_ALIVE),
    RequestField("Content-Length", InKey.NEVER),
    RequestField("Transfer-Encoding", InKey.NEVER),
    RequestField("Upgrade", InKey.NEVER),
    RequestField("Expect", InKey.NEVER),
)


def names_where(holds: Callable[[RequestField], bool]) -> tuple[str, ...]:
    """List the names of some fields, in the order of the table."""
    return tuple(field.name for field in REQUEST_FIELDS if holds(field))


def keyed(in_key: InKey) -> tuple[str, ...]:
    """List the fields that get into the key in one way."""
    return names_where(lambda field: field.in_key is in_key)


TICKET = "X-Cr-Purchase-Ticket"
"""Cloudreve ignores it in most shares (docs/cloudreve.md, File URIs)."""
SENT_AS_RECEIVED = names_where(lambda field: field.is_sent_upstream and field.in_key is InKey.VALUE)
"""The fields that are sent to Cloudreve with the value that the visitor has sent."""


def vary(*kinds: Vary) -> str:
    """Write the value of `Vary` for answers of these kinds."""
    return ", ".join(names_where(lambda field: field.vary in kinds))


def preflight(*kinds: Preflight) -> str:
    """Write the value of `Access-Control-Allow-Headers` for scripts of these kinds."""
    allowed = [field for field in REQUEST_FIELDS if field.preflight in kinds]
    return ", ".join(field.name for field in sorted(allowed, key=lambda field: kinds.index(field.preflight)))
