"""Reads the JSON of Cloudreve's answers into typed shapes."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from proxy.domain.errors import UpstreamError

T = TypeVar("T")


def read_answer(body: bytes | msgspec.Raw, shape: type[T], name: str = "Cloudreve's answer") -> T:
    """Read a body; raise UpstreamError, which says `name`, for anything that has not this shape."""
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise UpstreamError(f"{name} is not the JSON it should be.") from error
