"""Whether a burst of events may have been longer than what was heard of it (docs/cloudreve.md, Events)."""

from __future__ import annotations

from dataclasses import dataclass

QUEUE = 16
"""So many events wait in Cloudreve for their listener; what comes while they wait is dropped without a word."""
PAUSE_S = 1.0
"""Events that are further apart did not wait together."""


@dataclass(slots=True)
class Burst:
    """Counts events that have come together: before one is dropped, as many as the queue holds come without a pause."""

    count: int = 0
    last_at: float = 0.0

    def is_long(self, events: int, now: float) -> bool:
        """Take note of events; tell whether others may have been dropped since this was told last."""
        if now - self.last_at > PAUSE_S:
            self.count = 0
        self.last_at, before = now, self.count
        self.count += events
        return self.count // QUEUE > before // QUEUE
