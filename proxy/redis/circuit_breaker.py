"""Whether the shared tier is asked at all: after trouble it is left alone for a while, then probed once."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class State(StrEnum):
    """Whether every command is let through, or none but a probe now and then."""

    UP = "up"
    PAUSED = "paused"


class RedisBreaker:
    """Lets commands through until tripped; then none for `pause_s` seconds at a time, until a probe has succeeded.

    Each change begins a new epoch. A command carries the epoch in which it was sent, so that one which
    fails late, after Redis has come back, does not stop the commands again.
    """

    def __init__(self, pause_s: float, timer: Callable[[], float]) -> None:
        self._pause_s = pause_s
        self._timer = timer
        self._probe_at: float | None = None
        self.state = State.UP
        self.epoch = 0

    def trip(self, epoch: int) -> bool:
        """Let no command through after a failure of one of this epoch; tell whether they were let through until now."""
        if self.state is State.PAUSED or epoch != self.epoch:
            return False
        self.state = State.PAUSED
        self.epoch += 1
        self._probe_at = self._timer() + self._pause_s
        return True

    def claim_probe(self) -> bool:
        """Tell whether the caller is to probe now. Whoever claims must end with `close` or `stay_open`."""
        if self._probe_at is None or self._timer() < self._probe_at:
            return False
        self._probe_at = None
        return True

    def close(self) -> None:
        """Let everything through again, the probe having succeeded."""
        self.state = State.UP
        self.epoch += 1

    def stay_open(self) -> None:
        """Pause once more, the probe having failed."""
        self._probe_at = self._timer() + self._pause_s
