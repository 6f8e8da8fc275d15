"""The time as the lines of the log have it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime


class Timestamp:
    """Writes the time in UTC, and of a text that it has written keeps what has not changed since."""

    def __init__(self, timer: Callable[[], float] = time.time) -> None:
        self._timer = timer
        self._known = (-1, "", "")  # one value, since several threads log

    def __call__(self) -> str:
        """Give the present time, such as 2026-11-23T14:20:17.123+00:00."""
        now_ms = int(self._timer() * 1000)
        known_ms, second, text = self._known
        if now_ms != known_ms:
            if now_ms // 1000 != known_ms // 1000:
                second = datetime.fromtimestamp(now_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            text = f"{second}.{now_ms % 1000:03d}+00:00"
            self._known = (now_ms, second, text)
        return text
