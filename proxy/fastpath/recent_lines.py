"""The header lines that were read lately."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")

_OBJECT_BYTES = 250
"""The bytes that an entry takes beside its text."""


class RecentLines(Generic[V]):
    """Remembers a value by header lines, within about `max_bytes` and at least half of them.

    There are two generations. What is used in the old one moves into the young one, and when that is full the rest of
    the old one is forgotten: so the least recently used go, and a lookup in the young one writes nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = self._room_bytes = max_bytes // 2
        self._old: dict[bytes, V] = {}
        self.young: dict[bytes, V] = {}

    def get(self, lines: bytes) -> V | None:
        """Give the value, or None."""
        value = self.young.get(lines)
        if value is None and (value := self._old.get(lines)) is not None:
            self.set(lines, value)
        return value

    def set(self, lines: bytes, value: V) -> None:
        """Remember a value."""
        size_bytes = len(lines) + _OBJECT_BYTES
        if size_bytes > self._room_bytes:
            self._old, self.young, self._room_bytes = self.young, {}, self._max_bytes
        self._room_bytes -= size_bytes
        self.young[lines] = value
