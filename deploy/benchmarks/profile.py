"""What a hit of memory spends its time on."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from deploy.benchmarks.browsers import COUNT, header_lines
from deploy.benchmarks.load import Load
from deploy.benchmarks.sides import Sides
from deploy.benchmarks.table import Row

SIZE_KB = 10
PICTURES = 40
STEPS = {
    "read": "a browser's lines, when they are read for the first time",
    "parse": "parse: known lines are found, and the answer",
    "decide": "decide: the answer still stands; its line and counts",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """The whole is measured under load, the steps by themselves; the rest is receiving and writing."""

    sides: Sides
    load: Load

    async def rows(self) -> AsyncIterator[Row]:
        """Measure the whole and the steps."""
        stage = self.sides.stage
        side = (await self.sides.public(SIZE_KB, PICTURES)).here
        load = replace(self.load, browsers=header_lines(is_proxied=False))
        await side.measure(stage.session, load)  # from now on all lines have been read
        measured, spent = await side.measure(stage.session, load)
        whole = spent.per(measured.requests)
        told = await stage.told([sys.executable, "-m", "deploy.benchmarks.steps", stage.cloudreve_url, *side.paths])
        steps: dict[str, tuple[float, float]] = json.loads(told)
        all_us = whole.user_s * 1e6, whole.system_s * 1e6
        yield _row(f"profile: a hit of memory, {SIZE_KB} kB, {COUNT:,} browsers", all_us)
        for name, about in STEPS.items():
            yield _row(f"profile: {about}", steps[name])
        known = [steps[name] for name in ("parse", "decide")]
        rest = all_us[0] - sum(step[0] for step in known), all_us[1] - sum(step[1] for step in known)
        yield _row("profile: the rest: receive and write (uvloop and the kernel)", rest)


def _row(what: str, used: tuple[float, float]) -> Row:
    return Row(what, f"{sum(used):.1f} us", spent=f"{used[0]:.1f} + {used[1]:.1f}")
