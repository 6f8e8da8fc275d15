"""The field `Date`."""

from __future__ import annotations

from email.utils import formatdate


class DateField:
    """Writes it once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = b""

    def __call__(self, now: float) -> bytes:
        """Give its line for this moment on our clock as the last of a head: the empty line behind it too."""
        if self._second != (second := int(now)):
            self._second, self._text = second, f"Date: {formatdate(second, usegmt=True)}\r\n\r\n".encode()
        return self._text
