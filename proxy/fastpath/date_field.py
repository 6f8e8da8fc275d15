"""The value of `Date`."""

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
        """Give the present value."""
        if self._second != (second := int(self._now())):
            self._second, self._text = second, formatdate(second, usegmt=True).encode()
        return self._text
