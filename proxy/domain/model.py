"""The nouns: who asks, what Cloudreve said, what is shown. Frozen values, no behaviour that needs I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from proxy.domain.grant_stamp import UNSTAMPED, GrantStamp
from proxy.domain.picture_info import PictureInfo
from proxy.domain.variant import ORIGINAL, Variant

PictureId: TypeAlias = str
"""Hex digest that names the bytes of a picture; shared by every grant that names the same bytes."""


@dataclass(frozen=True, slots=True)
class FileUri:
    """A File URI in canonical form: equal for Cloudreve means equal here. May hold a share password: never printed."""

    text: str = field(repr=False)
    filesystem: str

    @property
    def is_absolute(self) -> bool:
        """Whether it names the same file whoever asks: a share does, and somebody's files by the owner's id."""
        authority = self.text.split("/", 3)[2]
        return self.filesystem == "share" or (self.filesystem == "my" and "@" in authority)

    def __str__(self) -> str:
        return f"cloudreve://…@{self.filesystem}/…"


Fields: TypeAlias = tuple[tuple[str, str], ...]
"""Header fields: names and values."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a visitor brought; sent to Cloudreve alone and never printed."""

    bearer: str | None = field(default=None, repr=False)
    fields: Fields = field(default=(), repr=False)
    """The fields that Cloudreve looks at besides (`request_fields.SENT_AS_RECEIVED`), such as a purchase ticket."""
    cookie: str | None = field(default=None, repr=False)
    """A session's cookie, sealed as received; the tokens in it are for whoever brought no bearer token."""


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """A session as the visitor's browser is to keep it."""

    value: str = field(repr=False)
    """Sealed."""
    lasts_s: float


class IdentityKind(StrEnum):
    """The ways of being somebody."""

    USER = "user"
    ACCOUNT = "account"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks. Two requests share a grant only when their identities are equal in every field."""

    kind: IdentityKind
    subject: str = ""
    """Cloudreve's user id; empty for anonymous."""
    client: str = ""
    """OAuth client id; empty for a token from signing in."""
    scopes: tuple[str, ...] = ()
    """OAuth scopes, sorted: two tokens of one user may have different rights (docs/cloudreve.md, whoami)."""
    fields: str = ""
    """Digest of the request fields that Cloudreve looks at besides, such as a purchase ticket; empty without any."""

    @property
    def is_public(self) -> bool:
        """Whether everybody may be it: what it may see, all may see."""
        return self.kind is not IdentityKind.USER and not self.fields


ANONYMOUS = Identity(IdentityKind.ANONYMOUS)


class SessionRef(NamedTuple):
    """Names a session: whose it is, its id and when it began."""

    user: str
    id: str
    started: float


@dataclass(frozen=True, slots=True)
class Visitor:
    """An identity and the credentials with which Cloudreve is asked in its name."""

    identity: Identity
    credentials: Credentials
    sure_until: float
    """Unix time in seconds on Cloudreve's clock until which the identity is believed; infinite without a credential."""
    session: SessionRef | None = None
    """The session whose cookie has told who it is, if one has."""
    renewed: SessionCookie | None = None
    """What is to replace that cookie, if anything."""


@dataclass(frozen=True, slots=True)
class ThumbRequest:
    """One question for a thumbnail, free of HTTP framing."""

    uri: FileUri
    credentials: Credentials = Credentials()
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


@dataclass(frozen=True, slots=True)
class Grant:
    """Cloudreve's leave for one identity to see one File URI, and the picture it names."""

    url: str = field(repr=False)
    """Signed image URL, decoded, as Cloudreve gave it."""
    fresh_until: float
    """Unix time in seconds *on Cloudreve's clock*; after it the grant counts for nothing."""
    picture: PictureId
    own: bool
    """The picture is Cloudreve's own entity, immutable under its id, so that it needs no check under a new grant."""
    version: str = ""
    """Which version of a foreign picture has been seen under this very grant; empty before, and for `own`."""
    granted_at: float = 0.0
    """When Cloudreve was asked for it, on the clock of `fresh_until`."""
    stamp: GrantStamp = UNSTAMPED


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


Resolution: TypeAlias = Grant | Refusal | Generating
"""What a resolve may bring."""


class PictureHead(NamedTuple):
    """What is known of a picture before its last byte."""

    media_type: str
    """From the bytes, never from upstream's Content-Type."""
    version: str
    """Upstream's ETag, or a digest of the bytes where it gave none; empty where that digest is still to come."""
    length_bytes: int | None
    """None where upstream did not announce it and the end has not come."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Picture:
    """The bytes of one picture, complete and proven to be an image."""

    id: PictureId
    media_type: str
    version: str
    body: bytes = field(repr=False)

    @property
    def head(self) -> PictureHead:
        """What a visitor is told first."""
        return PictureHead(self.media_type, self.version, len(self.body))


@dataclass(frozen=True, slots=True)
class NoVariant:
    """The original is shown in the place of a variant: the variant is hardly smaller, or cannot be made."""

    id: PictureId
    """Of the variant."""
    version: str
    """Of the original."""
    is_final: bool
    """Whether it stays so: an encoder that failed is tried again later."""


Entry: TypeAlias = Grant | Refusal | Picture | NoVariant | PictureInfo
"""What a tier may hold."""


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
