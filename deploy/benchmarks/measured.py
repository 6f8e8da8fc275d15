"""What a load has brought."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """Requests, and how long they took."""

    requests: int
    seconds: float
    received_bytes: int
    bad: int
    """Answers other than 2xx and 3xx, and connections that failed."""
    p50_ms: float
    p99_ms: float
    p999_ms: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds
