"""The last changes of one tag: which grants each of them ends.

Why a change with confirmed pictures may leave grants alone. Cloudreve was asked after it had told of the change, and
named the picture that lies at a place now. A grant of that place that names this picture is what a new question would
bring; all others end. Each such change is looked at by itself, with what was confirmed for it: what lay at a place
before a change says nothing about the change after it, and of two files with one tag only one may be confirmed.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from proxy.domain.grant_stamp import GrantStamp
from proxy.domain.tags import Tag

Confirmed: TypeAlias = frozenset[tuple[Tag, Tag]]
"""Places, and the picture that Cloudreve has named at each since it told of a change."""
NOTHING_CONFIRMED: Confirmed = frozenset()
MAX_CONFIRMING = 8
"""So many different changes with confirmed pictures are told apart for one tag; any other ends all grants."""


@dataclass(slots=True)
class Change:
    """The last change of its kind."""

    count: int = 0
    position: int = 0
    unsent: set[int] = field(default_factory=set)
    """Changes of this process that are not known to be in the log."""
    at: float = -math.inf
    """Unix time in seconds on Cloudreve's clock at which it was heard of."""

    def is_after(self, stamp: GrantStamp, *, is_own: bool) -> bool:
        """Tell whether it may be later than a question; `is_own`: than one of this process."""
        return stamp.heard < self.count if is_own else bool(self.unsent) or stamp.position < self.position

    def take(self, count: int, position: int, unsent: set[int], at: float) -> None:
        """Let another be the last; while the former is not in the log, neither is all of it."""
        self.count, self.at = count, at
        self.position = max(position, self.position)
        self.unsent |= unsent

    def confirm(self, number: int, position: int) -> None:
        """Take note of the place in the log of one of its changes."""
        if number in self.unsent:
            self.unsent.discard(number)
            self.position = max(self.position, position)


@dataclass(slots=True)
class Mark:
    """The last changes of a tag: the last one that ends all, and those that leave confirmed pictures alone."""

    all: Change = field(default_factory=Change)
    confirming: dict[Confirmed, Change] = field(default_factory=dict)

    def change(self, confirmed: Confirmed) -> Change:
        """Give the last change with these confirmed pictures, to be made a later one."""
        if not confirmed or (confirmed not in self.confirming and len(self.confirming) >= MAX_CONFIRMING):
            return self.all
        return self.confirming.setdefault(confirmed, Change())

    def ends(self, stamp: GrantStamp, tags: Collection[Tag], *, is_own: bool) -> Iterator[float]:
        """Give the times of the changes that end a grant which was asked for then, and rests on these tags."""
        if self.all.is_after(stamp, is_own=is_own):
            yield self.all.at
        for confirmed, change in self.confirming.items():
            if change.is_after(stamp, is_own=is_own) and not _is_confirmed(confirmed, tags):
                yield change.at

    @property
    def changes(self) -> list[Change]:
        """All of them."""
        return [self.all, *self.confirming.values()]


def _is_confirmed(confirmed: Confirmed, tags: Collection[Tag]) -> bool:
    return any(place in tags and picture in tags for place, picture in confirmed)
