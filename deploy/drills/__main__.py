"""`deploy/faults`: carries the drills out one after the other, and prints one table."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, Namespace

from rich import box
from rich.console import Console
from rich.table import Table

from deploy.drills.crowds import CROWDS
from deploy.drills.load import AT_HAND
from deploy.drills.outages import OUTAGES
from deploy.drills.rehearsal import MEBI, Drill, Outcome, rehearse
from deploy.drills.scarcity import SCARCITY
from deploy.drills.stores import STORES
from deploy.drills.until_told import until_told

DRILLS = (*OUTAGES, *STORES, *CROWDS, *SCARCITY)
EFFORT = 10
WIDTH = 230
_HEADINGS = (
    *("drill", "size", "at hand", "cold", "refused", "503, 504", "502, cut", "wrong"),
    *("99 % of hits within", "memory grew by", "exit after SIGTERM", "seen", ""),
)


def main() -> int:
    """Read the command line, and do as it says; 1 when a drill has gone wrong."""
    parser = ArgumentParser(
        prog="deploy/faults",
        description="Puts a gateway under load on loopback while something goes wrong, twice, and sends it SIGTERM in "
        "the middle of the second time. Counts what visitors are told: pictures, refusals, 503 or 504 with Retry-After "
        "where no cache could help (502 where Cloudreve answers garbage); anything else is wrong. Takes eight minutes.",
    )
    parser.add_argument("--quick", action="store_true", help="everything on a small scale, in a minute or two")
    parser.add_argument("name", nargs="*", help="the beginnings of the drills' names; without any, all")
    asked = parser.parse_args()
    return asyncio.run(until_told(_carried_out(asked)))


async def _carried_out(asked: Namespace) -> int:
    console = Console(width=WIDTH)
    table = Table(box=box.MARKDOWN)
    for number, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="left" if number == 0 else "right", no_wrap=True)
    is_good = True
    for drill in DRILLS:
        if asked.name and not drill.name.startswith(tuple(asked.name)):
            continue
        print(drill.name, file=sys.stderr, flush=True)  # noqa: T201 - a sign of life
        cells, went_well = await _cells(drill, asked)
        table.add_row(*cells)
        is_good = is_good and went_well
    console.print(table)
    return 0 if is_good else 1


async def _cells(drill: Drill, asked: Namespace) -> tuple[list[str], bool]:
    size = drill.few if asked.quick else drill.many
    name = [drill.name, str(size) if size > 1 else ""]
    try:
        outcome = await rehearse(drill, is_small=asked.quick, effort=1 if asked.quick else EFFORT)
    except (TimeoutError, AssertionError, OSError) as error:
        return [*name, f"ended by {type(error).__name__}", *[""] * 9, "NO"], False
    return [*name, *_told(outcome)], outcome.is_good


def _told(outcome: Outcome) -> list[str]:
    tally = outcome.tally
    at_hand = tally.count("picture", AT_HAND)
    faults = [*(f"{what} ({count})" for what, count in outcome.wrong.items()), *outcome.complaints[:1]]
    return [
        str(at_hand),
        str(tally.count("picture") - at_hand),
        str(tally.count("refusal")),
        str(tally.count("later")),
        str(tally.count("bad gateway") + tally.count("cut")),
        ", ".join(faults) or "0",
        f"{tally.slow_hit_s * 1000:.0f} ms",
        f"{outcome.grown_bytes / MEBI:.1f} MiB",
        f"{outcome.leaving.code} in {outcome.leaving.seconds:.1f} s",
        ", ".join(f"{name} {value:g}" for name, value in outcome.seen.items()),
        "yes" if outcome.is_good else "NO",
    ]


if __name__ == "__main__":
    sys.exit(main())
