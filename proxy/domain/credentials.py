"""The credentials of a request."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.domain.fields import Fields


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of a request; sent to Cloudreve alone and never printed."""

    bearer: str | None = field(default=None, repr=False)
    fields: Fields = field(default=(), repr=False)
    """The fields that Cloudreve looks at besides (`request_fields.SENT_AS_RECEIVED`), such as a purchase ticket."""
    cookie: str | None = field(default=None, repr=False)
    """A session's cookie, sealed as received; its tokens count only without a bearer token."""
