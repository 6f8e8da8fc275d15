"""Files change through replicas while viewers look on; `deploy/interleavings` does the same in earnest."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from deploy.drills.interleavings import versions
from deploy.drills.interleavings.play import VIEWERS, Play
from deploy.drills.interleavings.stage import staged
from deploy.drills.interleavings.versions import Pause, Versions, View

STEPS = 150
BUSY_S = 30.0
"""The bound of other replicas, on a machine with other things to do."""


async def test_no_old_picture_is_shown_where_its_end_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to anybody at the replica through which the change came; in the end everybody sees what is there."""
    monkeypatch.setattr(versions, "BOUND_S", BUSY_S)
    async with staged(tmp_path, replicas=2) as stage:
        findings = await Play(stage, seed=7, has_pauses=False).steps(STEPS)
    assert findings.wrong == []
    assert all(findings.counts[f"{viewer}: 200"] > 0 for viewer in (*VIEWERS, "sealed URL"))
    assert findings.counts["change"] > 10


def view(body: bytes, asked: float, replica: int = 1) -> View:
    return View("owner", replica, "/a", body, asked, asked + 0.1)


@pytest.mark.parametrize(
    ("shown", "pauses", "seconds", "is_wrong"),
    [
        (view(b"new", 12.0), [], None, False),
        (view(b"old", 10.5), [], None, False),  # it was being changed
        (view(b"old", 12.0), [], 1.0, False),
        (view(b"old", 12.0, replica=0), [], 1.0, True),  # which has told its author
        (view(b"old", 13.5), [], 2.5, True),
        (view(b"old", 20.0), [Pause(11.5, 19.0)], 9.0, False),
        (view(b"old", 22.0), [Pause(11.5, 19.0)], 11.0, True),
        (view(b"old", 15.0), [Pause(14.0, 19.0)], 4.0, True),  # Redis had been there for long enough
        (view(b"other", 12.0), [], math.inf, True),
    ],
)
def test_an_answer_is_judged_by_the_time_at_which_it_ended(
    shown: View, pauses: list[Pause], seconds: float | None, is_wrong: bool
) -> None:
    """And by whom, and whether Redis was there to tell others."""
    known = Versions()
    known.replace("/a", b"old", -1.0, -1.0, -1)
    known.replace("/a", b"new", 10.0, 11.0, 0)
    late = known.late(shown, pauses)
    assert (late.seconds if late else None, late is not None and late.is_wrong) == (seconds, is_wrong)
