"""Identities: for whom Cloudreve grants."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class IdentityKind(StrEnum):
    """The ways of being somebody."""

    USER = "user"
    ACCOUNT = "account"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Identity:
    """One that asks. Two requests share a grant only when their identities are equal in every field."""

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
        """Whether every visitor may have it: a picture for it is for all."""
        return self.kind is not IdentityKind.USER and not self.fields


ANONYMOUS = Identity(IdentityKind.ANONYMOUS)
