"""Gateways that are killed again and again over one disk tier; `deploy/kills` does the same in earnest."""

from __future__ import annotations

from pathlib import Path

from deploy.drills.kills import Drill

KILLS = 2
PICTURES = 40


async def test_nobody_is_shown_anything_wrong_while_gateways_are_killed(tmp_path: Path) -> None:
    """Nor after a restart of all, which costs Cloudreve nothing; no log tells of a damaged file."""
    outcome = await Drill(tmp_path, PICTURES, gateways=2).play(KILLS)
    assert outcome.is_good, outcome
    assert outcome.kills == KILLS
    assert outcome.answers["right"] > 2 * PICTURES
    assert outcome.calls_after == 0
