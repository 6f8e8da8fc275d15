"""Reads lists out of settings."""

from __future__ import annotations

import json
import re
from typing import TypeVar

T = TypeVar("T")


def texts(value: object) -> object:
    """Read a list out of an environment variable: JSON, or plain texts between commas or blanks."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [text for text in re.split(r"[\s,]+", value) if text]
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("this is no JSON list") from None


def each_once(values: tuple[T, ...]) -> tuple[T, ...]:
    """Drop repetitions, keep the order."""
    return tuple(dict.fromkeys(values))
