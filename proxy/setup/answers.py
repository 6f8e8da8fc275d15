"""The answers of a site's administrator."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Published:
    """A folder that everybody may see with the rights of an account."""

    prefix: str
    email: str
    """Empty where the secret is a refresh token."""
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answers:
    """All that a configuration needs to say."""

    cloudreve_url: str
    public_origin: str
    """The address that visitors use; empty where it is the one at which the gateway reaches Cloudreve."""
    whole_site: bool = False
    redis_url: str = field(default="", repr=False)
    disk: Path | None = None
    publish: tuple[Published, ...] = ()
