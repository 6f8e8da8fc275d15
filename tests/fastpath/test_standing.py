"""How long an answer is taken to stand without another look at what it rests on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import cast

import pytest

from proxy.cache.memory_tier import MemoryTier
from proxy.cache.tiers import Tiers
from proxy.domain.grant import Grant
from proxy.domain.identity import ANONYMOUS
from proxy.domain.tags import share_tag
from proxy.fastpath.entry import FinishedAnswer
from proxy.fastpath.key import Key
from proxy.fastpath.standing import STANDS_S, Standing
from proxy.grants.invalidation import Invalidations
from proxy.grants.validity import Decision

GRANT_KEY = "g:1"
NOW = 1_000_000.0
GRANT = Grant("http://x/1", NOW + 1000, "ab12", own=True, granted_at=NOW)
TAGS = (share_tag("AEUa"),)


@dataclass
class Scene:
    """One answer, and what it rests on."""

    memory: MemoryTier
    invalidations: Invalidations
    known: FinishedAnswer
    standing: Standing
    dropped: list[Key]

    def stands_at(self, seconds: float) -> bool:
        """Ask so many seconds after the first time."""
        return self.standing.still_stands(self.known, NOW + seconds)


def scene(valid_for_s: float = 1000.0, *, are_changes_told: bool = True) -> Scene:
    """Make one whose answer has just been found to stand."""
    memory = MemoryTier(100_000, lambda: NOW)
    changed: Callable[[], None] = memory.touch if are_changes_told else lambda: None
    invalidations = Invalidations(lambda: NOW, changed=changed)
    decision = Decision(ANONYMOUS, replace(GRANT, stamp=invalidations.stamp), NOW + valid_for_s, TAGS)
    memory.set_nowait(GRANT_KEY, decision.grant, 1000.0)
    key = cast("Key", (b"one", None))
    known = cast(
        "FinishedAnswer",
        SimpleNamespace(
            key=key, decision=decision, grant_key=GRANT_KEY, deletions=0, stands_until=0.0, stands_version=-1
        ),
    )
    dropped: list[Key] = []
    standing = Standing({key: known}, Tiers(memory), invalidations, dropped.append)
    made = Scene(memory, invalidations, known, standing, dropped)
    assert made.stands_at(0.0)
    return made


def replaced(at: Scene) -> None:
    """Take another grant for the same visitor and file."""
    at.memory.set_nowait(GRANT_KEY, replace(GRANT, url="http://x/2"), 1000.0)


def changed(at: Scene) -> None:
    at.invalidations.end((b"one", 1), TAGS)


@pytest.mark.parametrize("event", [replaced, changed])
def test_an_answer_ends_at_once_with_what_it_rests_on(event: Callable[[Scene], None]) -> None:
    """Long before it would be looked at again."""
    at = scene()
    event(at)
    assert not at.stands_at(0.1)
    assert at.dropped == [at.known.key]


def test_an_answer_ends_with_its_grant() -> None:
    at = scene(valid_for_s=STANDS_S / 3)
    assert at.stands_at(STANDS_S / 3 - 0.1)
    assert not at.stands_at(STANDS_S / 3)


def test_an_answer_is_looked_at_again_after_half_a_minute() -> None:
    """Even if nobody has told that something has changed."""
    at = scene(are_changes_told=False)
    changed(at)
    assert at.stands_at(29.9)
    assert not at.stands_at(30.0)
