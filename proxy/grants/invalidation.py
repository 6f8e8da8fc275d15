"""When what a grant rests on changed last, in the order in which this process has heard of it.

Why no clock is compared. A grant is stamped just before Cloudreve is asked: with the number of changes that this
process had heard of (`heard`), and with how far it had read the log that all processes share (`position`). A change is
told when Cloudreve has made it.
- A grant of this process: a change with a higher count was heard of after the question, which may be older than it. One
  with a lower count had been made before the question.
- A grant of another process: a change at a higher position was not known there when Cloudreve was asked. One at a lower
  position had been made, told and read before. A change that is not in the log yet has no position, and ends all such.
What is wrong with an order by receipt is only that a grant may be ended for nothing; asking once more mends that.

Interleaving that the beginning of a change is told for: a replica passes a DELETE to Cloudreve and dies before it can
tell. Between beginning and end nothing that is kept counts; a change that is never ended ends by itself.
"""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, TypeAlias

from proxy.domain.grant_stamp import GrantStamp
from proxy.domain.session import SessionRef
from proxy.domain.tags import Tag
from proxy.grants.marks import NOTHING_CONFIRMED, Confirmed, Mark

MAX_MARKS = 100_000
"""So many tags' last changes are remembered; when there are more, all that is older than the oldest has ended."""

ChangeId: TypeAlias = tuple[bytes, int]
"""The process that has made a change, and a number of its own."""


class _Open(NamedTuple):
    """A change that has begun."""

    tags: tuple[Tag, ...]
    until: float
    """When it ends by itself, by the timer."""
    at: float


class Invalidations:
    """The changes that are known. `changed` is called whenever a grant may have ended."""

    def __init__(
        self,
        now: Callable[[], float],
        lasts_s: float = math.inf,
        log: str = "",
        changed: Callable[[], None] = lambda: None,
        session_has_ended: Callable[[SessionRef], bool] = lambda _: False,
    ) -> None:
        self.origin = secrets.token_bytes(8)
        self._now = now
        self._lasts_s = lasts_s
        self._changed = changed
        self.session_has_ended = session_has_ended
        self._marks: dict[Tag, Mark] = {}
        self._open: dict[ChangeId, _Open] = {}
        self._open_tags: Counter[Tag] = Counter()
        self._floor_count = 0
        self._floor_position = 1 << 62 if log else 0
        self._stamp = GrantStamp(self.origin, 0, log, 0)

    @property
    def stamp(self) -> GrantStamp:
        """The stamp of now, for a question that is about to be asked."""
        return self._stamp

    def has_ended(self, stamp: GrantStamp, tags: Collection[Tag]) -> bool:
        """Tell whether an answer of Cloudreve's may be older than a change of what it rests on."""
        return self.ended_at(stamp, tags) is not None

    def ended_at(self, stamp: GrantStamp, tags: Collection[Tag]) -> float | None:
        """Give the time of the first such change, on Cloudreve's clock; None where there was none."""
        if not self._reaches(stamp):
            return -math.inf
        if not self._marks and not self._open_tags:  # as a rule
            return None
        times: list[float] = []
        is_own = stamp.origin == self.origin
        for tag in tags:
            if tag in self._open_tags:
                times += [begun.at for begun in self._open.values() if tag in begun.tags]
            mark = self._marks.get(tag)
            if mark is not None:
                times += mark.ends(stamp, tags, is_own=is_own)
        return min(times, default=None)

    def begin(self, change: ChangeId, tags: Iterable[Tag], until: float) -> None:
        """Let nothing that is kept under these tags count until the change has ended."""
        begun = self._open.get(change)
        if begun is None:
            self._open_tags.update(set(tags))
        self._open[change] = _Open(tuple(set(tags)), until, begun.at if begun else self._now())
        self._changed()

    def end(
        self, change: ChangeId, tags: Iterable[Tag], position: int = 0, confirmed: Confirmed = NOTHING_CONFIRMED
    ) -> None:
        """Record that a change was made: grants with one of these tags that were asked for before it count for nothing.

        Those stay that have both tags of a pair in `confirmed` (`marks.py`). `position` is where it stands in the log
        that all processes read; 0 for one of this process that is not there yet.
        """
        self.close(change)
        count = self._stamp.heard + 1
        self._stamp = self._stamp._replace(heard=count)
        unsent = set() if position else {change[1]}
        for tag in tags:
            mark = self._marks.pop(tag, None) or Mark()
            mark.change(confirmed).take(count, position, unsent, self._now())
            self._marks[tag] = mark
        self._bound()
        self._changed()

    def confirm(self, number: int, tags: Iterable[Tag], position: int) -> None:
        """Take note of the place that a change of this process has in the log."""
        for tag in tags:
            mark = self._marks.get(tag)
            for change in mark.changes if mark is not None else ():
                change.confirm(number, position)

    def read_to(self, position: int) -> None:
        """Take note of how far the log has been read."""
        self._stamp = self._stamp._replace(position=max(position, self._stamp.position))

    def begin_log(self, position: int, *, has_gap: bool) -> None:
        """Begin to read a log whose first entry has this position; after a gap, nothing from before counts."""
        self._floor_position = position
        self._stamp = self._stamp._replace(position=position)
        if has_gap:
            self._stamp = self._stamp._replace(heard=self._stamp.heard + 1)
            self._floor_count = self._stamp.heard
        self._changed()

    def expire(self, time: float) -> list[tuple[ChangeId, tuple[Tag, ...]]]:
        """Give the changes that were to have ended by now; they are to be ended."""
        return [(change, begun.tags) for change, begun in self._open.items() if begun.until <= time]

    def postpone(self, change: ChangeId, until: float) -> None:
        """Let a change that has begun end by itself at another time."""
        begun = self._open.get(change)
        if begun is not None:
            self._open[change] = begun._replace(until=until)

    def tags_of(self, change: ChangeId) -> tuple[Tag, ...]:
        """Give the tags of a change that has begun."""
        begun = self._open.get(change)
        return begun.tags if begun is not None else ()

    def _reaches(self, stamp: GrantStamp) -> bool:
        """Tell whether all changes since then are known here; no stamp of ours is from what has not come yet."""
        known = self._stamp
        if stamp.origin == self.origin:
            return self._floor_count <= stamp.heard <= known.heard
        if not known.log:  # then there is nobody else, or nobody whom this process could hear
            return True
        return stamp.log == known.log and self._floor_position <= stamp.position <= known.position

    def close(self, change: ChangeId) -> None:
        """Let a change be under way no more."""
        begun = self._open.pop(change, None)
        if begun is not None:
            self._open_tags.subtract(begun.tags)
            for tag in begun.tags:
                if self._open_tags[tag] <= 0:
                    del self._open_tags[tag]

    def _bound(self) -> None:
        """Forget what is so long ago that no grant of before is left, and the oldest of too many."""
        long_ago = self._now() - self._lasts_s
        while self._marks:
            tag = next(iter(self._marks))
            changes = self._marks[tag].changes
            if any(change.at >= long_ago for change in changes):
                if len(self._marks) <= MAX_MARKS:
                    return
                self._floor_count = max(self._floor_count, *(change.count for change in changes))
                self._floor_position = max(self._floor_position, *(change.position for change in changes))
            del self._marks[tag]
