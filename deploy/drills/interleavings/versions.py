"""Which versions a file has had, and until when each might be shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

BOUND_S = 2.0
"""How long other replicas may show the state before a change; the one through which it came may not at all."""


@dataclass(slots=True)
class Version:
    """What a file showed for a while; times are seconds of one clock."""

    body: bytes | None
    """None where there was no file."""
    since: float
    """When the change that brought it was begun."""
    until: float = math.inf
    """When its author was told that it is over."""
    ended_by: int = -1
    """The replica through which that was done."""


class View(NamedTuple):
    """What somebody was shown."""

    viewer: str
    replica: int
    path: str
    body: bytes
    asked: float
    answered: float


class Pause(NamedTuple):
    """A time without Redis."""

    begin: float
    end: float


class Late(NamedTuple):
    """An old picture, and how long after its end it was asked for."""

    view: View
    seconds: float
    is_wrong: bool


class Versions:
    """All versions of all files."""

    def __init__(self) -> None:
        self._of: dict[str, list[Version]] = {}

    def replace(self, path: str, body: bytes | None, begun: float, ended: float, replica: int) -> None:
        """Note a change: when it was begun, and when its author was told that it was made."""
        before = self._of.setdefault(path, [])
        if before:
            before[-1].until, before[-1].ended_by = ended, replica
        before.append(Version(body, begun))

    def current(self, path: str) -> bytes | None:
        """Tell what a file shows now."""
        return self._of[path][-1].body

    def late(self, view: View, pauses: Sequence[Pause]) -> Late | None:
        """Judge an answer: None where it was the truth at some time between question and answer."""
        shown = [version for version in self._of[view.path] if version.body == view.body]
        if any(version.since <= view.answered and view.asked <= version.until for version in shown):
            return None
        last = max(
            (version for version in shown if version.until < view.asked), key=lambda each: each.until, default=None
        )
        if last is None:
            return Late(view, math.inf, is_wrong=True)
        bound = last.until if last.ended_by == view.replica else known_by(last.until, pauses)
        return Late(view, view.asked - last.until, is_wrong=view.asked > bound)


def known_by(changed: float, pauses: Sequence[Pause]) -> float:
    """Tell by when a change is known everywhere: what Redis was not there for counts from its return."""
    begun = changed
    for pause in pauses:
        if pause.end > begun and pause.begin < begun + BOUND_S:
            begun = pause.end
    return begun + BOUND_S
