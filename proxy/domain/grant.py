"""Cloudreve's permission to see a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from proxy.domain.grant_stamp import UNSTAMPED, GrantStamp
from proxy.domain.picture import PictureId
from proxy.domain.refusal import Generating, Refusal


@dataclass(frozen=True, slots=True)
class Grant:
    """Cloudreve's permission for one identity to see one File URI, and the picture it names."""

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

    def remaining_s(self, now: float) -> float:
        """Tell how many seconds are left of it; not positive when it is over."""
        return self.fresh_until - now


Resolution: TypeAlias = Grant | Refusal | Generating
"""The outcomes of a resolve."""
