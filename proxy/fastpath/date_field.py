"""The field `Date`."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate


class DateField:
    """Writes it once a second."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = -1
        self._text = b""

    def __call__(self) -> bytes:
        """Give its present line as the last of a head: the empty line behind it too."""
        if self._second != (second := int(self._now())):
            self._second, self._text = second, f"Date: {formatdate(second, usegmt=True)}\r\n\r\n".encode()
        return self._text
