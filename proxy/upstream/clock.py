"""The two clocks: ours, and Cloudreve's as its `Date` tells it."""

from __future__ import annotations

import time
from collections.abc import Callable

from proxy.policy.freshness import DATE_PRECISION_S, skew


class Clock:
    """Time on Cloudreve's clock, by which everything that it signs expires.

    `timer` counts seconds whatever the clocks do: the memory tier goes by it.
    """

    def __init__(self, ours: Callable[[], float] = time.time, timer: Callable[[], float] = time.monotonic) -> None:
        self.ours = ours
        self.timer = timer
        self._skew_s: float | None = None

    @property
    def is_set(self) -> bool:
        """Whether Cloudreve's clock has been seen at all."""
        return self._skew_s is not None

    @property
    def skew_s(self) -> float:
        """How far Cloudreve's clock is ahead of ours, in seconds."""
        return self._skew_s or 0.0

    def now(self) -> float:
        """Unix time in seconds on Cloudreve's clock; on ours until it has been seen."""
        return self.ours() + self.skew_s

    def observe(self, date: str | None) -> None:
        """Learn from the `Date` of an answer just received.

        What lies within its precision changes nothing, so that time runs evenly.
        """
        seen = skew(date, self.ours())
        if seen is not None and (self._skew_s is None or abs(seen - self._skew_s) > DATE_PRECISION_S):
            self._skew_s = seen
