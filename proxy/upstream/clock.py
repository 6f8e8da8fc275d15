"""The two clocks: ours, and Cloudreve's as its `Date` tells it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from proxy.domain.freshness import DATE_PRECISION_S, skew

SET_BACK_S = 1.0
"""A clock that has lost more than this against the timer was set back, and did not just run slowly."""


class Clock:
    """Time on Cloudreve's clock, by which everything that it signs expires.

    `timer` counts seconds whatever the clocks do: the memory tier goes by it. When our clock is set back, time goes on
    by the timer until Cloudreve is heard of again, so that nothing counts for longer than it should. Set forward, as
    also when a machine has slept, it is believed: what ends too early costs a call, whose answer tells the time.
    """

    def __init__(self, ours: Callable[[], float] = time.time, timer: Callable[[], float] = time.monotonic) -> None:
        self.ours = ours
        self.timer = timer
        self._skew_s: float | None = None
        self._ahead_s = ours() - timer()

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
        ours, counted = self.ours(), self.timer() + self._ahead_s
        return (ours if ours > counted - SET_BACK_S else counted) + (self._skew_s or 0.0)

    def observe(self, date: str | None, asked_at: float = math.inf) -> None:
        """Learn from the `Date` of an answer just received; `asked_at`, on our clock, is when it was asked for.

        What lies within its precision changes nothing, so that time runs evenly. Nor does an answer that may be late:
        by its `Date` alone Cloudreve's clock would seem behind, and grants would count for longer.
        """
        seen = skew(date, self.ours())
        latest = -math.inf if seen is None else seen + DATE_PRECISION_S / 2 + max(self.ours() - asked_at, 0.0)
        if seen is not None:
            self._ahead_s = self.ours() - self.timer()
        if seen is not None and (self._skew_s is None or self._contradicts(seen, latest, self._skew_s)):
            self._skew_s = seen

    def _contradicts(self, seen: float, latest: float, known: float) -> bool:
        return seen - known > DATE_PRECISION_S or (known - seen > DATE_PRECISION_S and known > latest)
