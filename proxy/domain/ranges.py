"""Range requests: one range of bytes (RFC 9110 §14)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from proxy.domain.errors import RangeNotSatisfiable

_RANGE = re.compile(r"bytes=[ \t]*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))[ \t]*", re.ASCII | re.IGNORECASE)


class ByteRange(NamedTuple):
    """The first byte of a part, and the one behind its last."""

    start: int
    end: int

    def content_range(self, length: int) -> str:
        """Give the value of `Content-Range`."""
        return f"bytes {self.start}-{self.end - 1}/{length}"


def is_wanted(ranges: Sequence[str], if_range: Sequence[str], etag: str | None) -> bool:
    """Tell whether one range is asked for, of the very picture that `etag` names.

    Several ranges, other units and what breaks the syntax are ignored (§14.2). `If-Range` compares strongly, and a
    date never matches, since no answer carries one.
    """
    is_range = len(ranges) == 1 and _RANGE.fullmatch(ranges[0]) is not None
    return is_range and (not if_range or (etag is not None and [value.strip() for value in if_range] == [etag]))


def byte_range(field: str, length: int) -> ByteRange | None:
    """Read a field's range; None where it is to be ignored, RangeNotSatisfiable where it lies outside."""
    found = _RANGE.fullmatch(field)
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(length - int(suffix), 0), length
    else:
        start, end = int(first), min(int(last) + 1, length) if last else length
        if last and int(last) < start:
            return None
    if start >= end:
        raise RangeNotSatisfiable(length)
    return ByteRange(start, end)
