"""The bytes of a picture, its media type and its version."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

PictureId: TypeAlias = str
"""Hex digest that names the bytes of a picture; shared by every grant that names the same bytes."""


class PictureHead(NamedTuple):
    """The facts about a picture that are known before its last byte."""

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
        """The facts that a visitor is told first."""
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
