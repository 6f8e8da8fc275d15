"""What a drill has seen: how often everything happened, and what should never have happened."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field

from rich.console import Console

EXAMPLES = 3
EVENTS = 12


@dataclass
class Findings:
    """Counts, violations by their kind with examples, and what happened to Redis lately."""

    started: float = field(default_factory=time.monotonic)
    counts: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    state: str = ""
    """What is wrong with Redis at the moment."""
    _events: deque[str] = field(default_factory=lambda: deque(maxlen=EVENTS))
    lost_at: float = 0.0
    """When Redis last may have forgotten something."""

    def count(self, what: str) -> None:
        """Count something ordinary."""
        self.counts[what] += 1

    def violate(self, kind: str, story: str) -> None:
        """Note something that must not happen."""
        self.violations[kind] += 1
        told = self.examples.setdefault(kind, [])
        if len(told) < EXAMPLES:
            told.append(f"{self._elapsed} s ({self.state or 'calm'}, after {', '.join(self._events)}): {story}")

    def note(self, event: str) -> None:
        """Remember and count an event that may explain what follows."""
        self.count(event)
        self._events.append(f"{event} at {self._elapsed}")

    @property
    def _elapsed(self) -> str:
        return f"{time.monotonic() - self.started:.2f}"

    def show(self, console: Console) -> None:
        """Print all."""
        for what, count in sorted(self.counts.items()):
            console.print(f"{count:8} {what}")
        for kind, count in self.violations.most_common():
            console.print(f"{count:8} VIOLATION {kind}", *(f"\n           {story}" for story in self.examples[kind]))
        console.print("violations:", self.violations.total())
