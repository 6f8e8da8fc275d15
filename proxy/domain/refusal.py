"""Cloudreve's no, and its not yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from proxy.domain.grant_stamp import UNSTAMPED, GrantStamp

FAILED_CODE = -1
"""Anything that has no code of its own; of a thumbnail, that it could not be made."""

UPLOAD_FAILED_CODES = frozenset({40004, 50004})
"""The thumbnail could not be stored: another call generates it, or its storage does not take it, for ever perhaps
(docs/cloudreve.md, Storage elsewhere)."""


class RefusalKind(StrEnum):
    """Why Cloudreve said no; decides the HTTP status and how long the no is kept."""

    BAD_REQUEST = "bad_request"
    UNAUTHENTICATED = "unauthenticated"
    PAYMENT_REQUIRED = "payment_required"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Cloudreve's no for one identity and File URI."""

    kind: RefusalKind
    code: int
    """Cloudreve's own code (docs/cloudreve.md, Codes)."""
    correlation_id: str = ""
    """Names the call in Cloudreve's log; empty when it gave none."""
    message: str = field(default="", repr=False)
    """Cloudreve's own words, for those who read its JSON; shown to nobody but the asker."""
    asked_at: float = 0.0
    """Unix time in seconds on Cloudreve's clock at which it was asked."""
    stamp: GrantStamp = UNSTAMPED


@dataclass(frozen=True, slots=True)
class Generating:
    """Cloudreve is still making this thumbnail for somebody (40073, 50004): ask again in a moment, never keep."""

    code: int
    correlation_id: str = ""
