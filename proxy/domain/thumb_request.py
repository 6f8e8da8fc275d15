"""A request for a thumbnail, and for its picture under a grant."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.domain.credentials import Credentials
from proxy.domain.file_uri import FileUri
from proxy.domain.variant import ORIGINAL, Variant


@dataclass(frozen=True, slots=True)
class ThumbRequest:
    """One question for a thumbnail, free of HTTP framing."""

    uri: FileUri
    credentials: Credentials = field(default_factory=Credentials)
    variant: Variant = ORIGINAL
    """The variant that the visitor's `Accept` and the request's size allow."""
    if_none_match: str | None = None
    """The header as received, several lines joined by commas (RFC 9110 §13.1.2)."""
    client: str = ""
    """The client at the address from which the visitor comes (`domain.client`); only for sharing the work fairly."""


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """How a picture is to be shown, and to which client."""

    variant: Variant = ORIGINAL
    if_none_match: str | None = None
    """The header as received, several lines joined by commas (RFC 9110 §13.1.2)."""
    client: str = ""
    """The client at the visitor's address; only for sharing the work fairly."""
