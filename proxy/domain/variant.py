"""A variant: one way to show a picture, by format and size. The original is a variant too."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Format(StrEnum):
    """The formats that the gateway encodes."""

    # Caches in front keep them apart by name: deploy/nginx/thumb-proxy.conf, deploy/load-balancers/varnish.vcl.
    WEBP = "webp"
    AVIF = "avif"

    @property
    def media_type(self) -> str:
        """Give the media type."""
        return f"image/{self}"


class Fit(StrEnum):
    """How a picture fills the width and height that were asked for, as CSS names it."""

    INSIDE = "inside"
    """As large as fits into both, with its own aspect ratio."""
    COVER = "cover"
    """Fills both; what stands out is cut off, evenly on both sides."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A format and a size in pixels; 0 leaves a side to the other, `format` None keeps the original's."""

    format: Format | None = None
    width: int = 0
    height: int = 0
    fit: Fit = Fit.INSIDE

    @property
    def is_original(self) -> bool:
        """Whether this is the picture as it came."""
        return self.format is None and not self.is_resized

    @property
    def is_resized(self) -> bool:
        """Whether a size was asked for."""
        return bool(self.width or self.height)

    @property
    def name(self) -> str:
        """Name it within keys and ETags; empty for the original."""
        size = f"{self.width}x{self.height}-{self.fit}" if self.is_resized else ""
        return "-".join(part for part in (self.format or "", size) if part)


ORIGINAL = Variant()
