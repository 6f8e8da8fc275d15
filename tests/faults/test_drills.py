"""Everything that may go wrong around a gateway, on a small scale; `deploy/faults` does the same in earnest."""

from __future__ import annotations

import pytest

from deploy.drills.crowds import CROWDS
from deploy.drills.load import AT_HAND
from deploy.drills.outages import OUTAGES
from deploy.drills.rehearsal import MEBI, Drill, rehearse
from deploy.drills.scarcity import SCARCITY
from deploy.drills.stores import STORES

GROWTH_BYTES = 12 * MEBI
SPIN_S = 0.2
DRILLS = {drill.name: drill for drill in (*OUTAGES, *STORES, *CROWDS, *SCARCITY)}
ROUNDS = [
    ["Cloudreve killed", "Cloudreve flapping", "Cloudreve slow, 60 s a thumbnail", "Cloudreve stopped"],
    ["Redis killed", "Redis full", "Redis restarted empty", "Redis stopped"],
    ["Cloudreve answers garbage", "disk full for the log"],
    ["heads of a megabyte", "visitors who leave", "visitors who read a byte now and then", "heads that trickle"],
    ["visitors who say nothing", "cold URIs", "nobody reads the log"],
    ["no file descriptors left"],
    ["256 descriptors, and visitors who stay"],
]
"""Troubles that come one after the other; in the middle of the last the gateway is told to leave."""


def test_every_drill_is_carried_out() -> None:
    assert {name for names in ROUNDS for name in names} | {"visitors who stay"} == DRILLS.keys()


@pytest.mark.parametrize("names", ROUNDS, ids=lambda names: names[-1])
async def test_nobody_is_told_anything_wrong(names: list[str]) -> None:
    """Pictures, true refusals, or 503 and 504 with Retry-After; and SIGTERM in the middle of it is obeyed in time."""
    drills: list[Drill] = [DRILLS[name] for name in names]
    outcome = await rehearse(*drills, is_small=True)
    assert outcome.is_good, outcome
    assert outcome.tally.count("picture", AT_HAND) > 0
    assert outcome.grown_bytes < GROWTH_BYTES
    assert outcome.seen.get("CPU s idle", 0.0) < SPIN_S
