"""The entries that a tier may hold."""

from __future__ import annotations

from typing import TypeAlias

from proxy.domain.grant import Grant
from proxy.domain.picture import NoVariant, Picture
from proxy.domain.picture_info import PictureInfo
from proxy.domain.refusal import Refusal

Entry: TypeAlias = Grant | Refusal | Picture | NoVariant | PictureInfo
"""The entries that a tier may hold."""
