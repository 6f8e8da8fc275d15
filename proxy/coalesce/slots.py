"""Slots for work towards upstream. Work that turns out slow gives its slot to others and counts apart."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from proxy.domain.client import Client

RESERVED = 8
"""One slot in this many is kept free of any single client, whose work may take minutes."""
SLOW_S = 1.0
"""How long work may hold a slot that others wait for."""


@dataclass(slots=True, eq=False)
class Work:
    """Something that a client has under way, for a group of pictures that one storage may keep."""

    client: Client
    group: str
    timer: asyncio.TimerHandle | None = None
    is_slow: bool = False


class Slots:
    """At most `slots` at work, and as many as `slow` more that have been at work for longer than `SLOW_S`.

    No client has all slots, nor more than half of the places for slow work. A group has no more at work than there are
    slots, slow work included; groups with slow work have half of the slots at most, all together. So a storage that
    hangs leaves slots to pictures of others. The group "" stands for pictures of which nothing is known.
    """

    def __init__(self, slots: int, slow: int, on_free: Callable[[], None]) -> None:
        self._slots = slots
        self._most = slots - slots // RESERVED
        self._slow_places = slow
        self._on_free = on_free
        self._busy: Counter[Client] = Counter()
        self._slow: Counter[Client] = Counter()
        self._groups: Counter[str] = Counter()
        self._slow_groups: Counter[str] = Counter()
        self._holding: dict[Work, None] = {}

    @property
    def are_free(self) -> bool:
        """Whether there is a slot."""
        return len(self._holding) < self._slots

    def may_begin(self, client: Client, group: str) -> bool:
        """Tell whether there is a slot for this client and group."""
        if not self.are_free or self._busy[client] >= self._most:
            return False
        if not group or not self._slow_places:
            return True
        return self._groups[group] < self._slots and not (self._slow_groups[group] and self._is_half_slow())

    def begin(self, client: Client, group: str) -> Work:
        """Take a slot."""
        work = Work(client, group)
        self._holding[work] = None
        self._busy[client] += 1
        self._groups[group] += 1
        if self._slow_places:
            work.timer = asyncio.get_running_loop().call_later(SLOW_S, self._overstay, work)
        return work

    def end(self, work: Work) -> None:
        """Free the slot of finished work, or its place among slow work."""
        if work.timer is not None:
            work.timer.cancel()
        _drop(self._groups, work.group)
        if work.is_slow:
            _drop(self._slow, work.client)
            _drop(self._slow_groups, work.group)
            self._move_overdue()
        else:
            self._leave(work)
        self._on_free()

    def _overstay(self, work: Work) -> None:
        work.timer = None
        if self._may_be_slow(work):
            self._slow_down(work)
            self._on_free()

    def _move_overdue(self) -> None:
        """Let work that has found no place among what is slow have the one that is free now."""
        overdue = next((work for work in self._holding if work.timer is None and self._may_be_slow(work)), None)
        if overdue is not None:
            self._slow_down(overdue)

    def _may_be_slow(self, work: Work) -> bool:
        return self._slow.total() < self._slow_places and self._slow[work.client] < max(self._slow_places // 2, 1)

    def _slow_down(self, work: Work) -> None:
        self._leave(work)
        work.is_slow = True
        self._slow[work.client] += 1
        self._slow_groups[work.group] += 1

    def _leave(self, work: Work) -> None:
        del self._holding[work]
        _drop(self._busy, work.client)

    def _is_half_slow(self) -> bool:
        slow = sum(bool(work.group and self._slow_groups[work.group]) for work in self._holding)
        return slow >= max(self._slots // 2, 1)


def _drop(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
