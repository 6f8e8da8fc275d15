"""The type of header fields."""

from __future__ import annotations

from typing import TypeAlias

Fields: TypeAlias = tuple[tuple[str, str], ...]
"""Header fields: names and values."""
