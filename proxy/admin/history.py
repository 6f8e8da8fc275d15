"""How far counters have risen within the last hour."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import TypeAlias

STEP_S = 60.0
"""How often the counters are read."""
HOUR_S = 3600.0

Labels: TypeAlias = tuple[tuple[str, str], ...]
Series: TypeAlias = tuple[str, Labels]
"""The name of a sample and its labels."""


class History:
    """Remembers what counters said each `STEP_S` of the last hour; times are a monotonic clock's, in seconds."""

    def __init__(self, now: float) -> None:
        self._past: deque[tuple[float, Mapping[Series, float]]] = deque([(now, {})])

    def remember(self, now: float, counters: Iterable[tuple[Series, float]]) -> None:
        """Take the counters down."""
        self._past.append((now, dict(counters)))
        while len(self._past) > 1 and self._past[1][0] <= now - HOUR_S:
            self._past.popleft()

    def span_s(self, now: float) -> float:
        """Tell how far back it reaches."""
        return now - self._past[0][0]

    def rises(self, counters: Iterable[tuple[Series, float]]) -> dict[Series, float]:
        """Tell how far each counter has risen since; those that have not are left out."""
        before = self._past[0][1]
        risen = ((series, value - before.get(series, 0.0)) for series, value in counters)
        return {series: rise for series, rise in risen if rise > 0}
