"""Everything that may go wrong around a gateway, on a small scale; `deploy/faults` does the same in earnest."""

from __future__ import annotations

import pytest

from deploy.drills.crowds import CROWDS
from deploy.drills.load import AT_HAND
from deploy.drills.outages import OUTAGES
from deploy.drills.rehearsal import MEBI, Drill, rehearse
from deploy.drills.scarcity import SCARCITY

GROWTH_BYTES = 12 * MEBI
SPIN_S = 0.2


@pytest.mark.parametrize("drill", (*OUTAGES, *CROWDS, *SCARCITY), ids=lambda drill: drill.name)
async def test_nobody_is_told_anything_wrong(drill: Drill) -> None:
    """Pictures, true refusals, or 503 and 504 with Retry-After; and SIGTERM in the middle of it is obeyed in time."""
    outcome = await rehearse(drill, drill.few)
    assert outcome.is_good, outcome
    assert outcome.tally.count("picture", AT_HAND) > 0
    assert outcome.grown_bytes < GROWTH_BYTES
    assert outcome.seen.get("CPU s idle", 0.0) < SPIN_S
