"""A picture's bytes as they arrive, and the steps of a walk through them."""

from __future__ import annotations

from collections.abc import Generator
from struct import calcsize, unpack_from
from typing import Any, NamedTuple, TypeAlias

MAX_PARTS = 200_000
"""A walk through more parts than this is given up: a hostile body must not keep everybody waiting."""


class Size(NamedTuple):
    """The size in pixels that a header states, for which a decoder allocates memory."""

    width: int
    height: int


Walk: TypeAlias = Generator[Size | None, None, None]
"""Yields None where more bytes are needed, and each size that it reads; returns where the picture ends."""


class Broken(ValueError):
    """Not a whole picture."""


class Body:
    """The bytes so far, and whether more may come."""

    __slots__ = ("data", "is_over", "parts")

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_over = False
        self.parts = 0

    def count(self, parts: int = 1) -> None:
        """Count parts of the format; raise Broken where there are too many."""
        self.parts += parts
        if self.parts > MAX_PARTS:
            raise Broken("has too many parts")

    def until(self, length: int) -> Walk:
        """Wait for this many bytes from the beginning on; raise Broken where they will not come."""
        while len(self.data) < length:
            if self.is_over:
                raise Broken("ends too early")
            yield None

    def read(self, layout: str, at: int) -> Generator[Size | None, None, tuple[Any, ...]]:
        """Wait for some fields, and unpack them."""
        yield from self.until(at + calcsize(layout))
        return unpack_from(layout, self.data, at)
