"""The size and look of a picture, for pages before its bytes come."""

from __future__ import annotations

import re
from dataclasses import dataclass

THUMB_HASH_BYTES = 25
"""How long a ThumbHash is at most."""
_COLOUR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Look:
    """Size and colours of the first frame, upright and in sRGB."""

    width: int
    height: int
    thumb_hash: bytes
    """A placeholder (https://evanw.github.io/thumbhash/)."""
    average_colour: str
    """As CSS writes it, such as #7a8fb2; transparent parts do not count."""

    @property
    def is_sound(self) -> bool:
        """Whether these can be the values of a picture."""
        is_hash = 5 <= len(self.thumb_hash) <= THUMB_HASH_BYTES  # noqa: PLR2004 - its constants alone take 5
        return self.width > 0 and self.height > 0 and is_hash and _COLOUR.fullmatch(self.average_colour) is not None


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """The facts about the bytes that a picture is shown as."""

    id: str
    """Its own (`keys.info_id`)."""
    version: str
    """Of the original."""
    etag: str
    media_type: str
    length_bytes: int
    look: Look | None
    """None where the picture cannot be decoded."""
    is_final: bool
    """Whether it stays so: what could not be encoded or decoded is tried again later."""
