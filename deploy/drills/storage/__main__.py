"""`deploy/storage`: the table of storage's behaviours, galleries, and neighbours of a storage that hangs."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from rich import box
from rich.console import Console
from rich.table import Table

from deploy.drills.storage.asking import Visitor
from deploy.drills.storage.galleries import galleries
from deploy.drills.storage.neighbours import neighbours
from deploy.drills.storage.stage import Stage, staged
from deploy.drills.storage.table import BEHAVIOURS, rows
from deploy.drills.until_told import until_told

WIDTH = 160
POLICIES = ("s3", "public", "relayed", "slave")


def main() -> int:
    """Read the command line, and do as it says; 1 where something is not as it should be."""
    parser = ArgumentParser(
        prog="deploy/storage",
        description="Starts an S3 server, Cloudreve and a slave node of it on loopback, and spoils what storage says. "
        "Takes five minutes.",
    )
    parser.add_argument(
        "--s3", type=Path, required=True, help="versitygw: go install github.com/versity/versitygw/cmd/..."
    )
    parser.add_argument("--cloudreve", type=Path, required=True, help="Cloudreve 4's program")
    parser.add_argument("--policy", choices=POLICIES, default="s3", help="of the pictures in the table")
    parser.add_argument("parts", nargs="*", help="behaviours in the table, galleries, neighbours; without any, all")
    return asyncio.run(until_told(_carried_out(parser.parse_args())))


async def _carried_out(asked: Namespace) -> int:
    parts, is_good = asked.parts or [*BEHAVIOURS, "galleries", "neighbours"], True
    console = Console(width=WIDTH)
    with TemporaryDirectory(prefix="thumb-proxy-storage-") as folder:
        async with staged(asked.s3.resolve(), asked.cloudreve.resolve(), Path(folder)) as stage:
            if behaviours := [part for part in parts if part in BEHAVIOURS]:
                is_good = await _table(stage, console, behaviours, asked.policy)
            if "galleries" in parts:
                found = await galleries(stage, (*POLICIES, "local"))
                _show(console, ("policy", "five viewers, one identity", "five identities"), found)
                is_good = is_good and all(" x 200 in " in cell and "," not in cell for _, *row in found for cell in row)
            if "neighbours" in parts:
                measured = await neighbours(stage)
                _show(console, ("what hangs", "others", "came", "99 % within"), [row.cells for row in measured])
                is_good = is_good and all(row.is_right for row in measured)
    return 0 if is_good else 1


async def _table(stage: Stage, console: Console, behaviours: list[str], policy: str) -> bool:
    found, is_good = [], True
    async with aiohttp.ClientSession() as session:
        nobody = Visitor(session, stage.gateway.port)
        somebody = Visitor(session, stage.gateway.port, stage.site.admin)
        for behaviour in behaviours:
            print(behaviour, file=sys.stderr, flush=True)  # noqa: T201 - a sign of life
            async for row in rows(stage, behaviour, policy, nobody, somebody):
                status = str(row.visit.status) if row.visit.status else "broken off"
                cells = (row.behaviour, row.state, status, f"{row.visit.seconds:.2f} s", str(row.asked))
                found.append((*cells, "yes" if row.is_right else "NO"))
                is_good = is_good and row.is_right
    _show(console, ("storage", "state", "status", "time", "calls", "right"), found)
    return is_good


def _show(console: Console, headings: tuple[str, ...], found: list[tuple[str, ...]]) -> None:
    table = Table(*headings, box=box.MARKDOWN)
    for cells in found:
        table.add_row(*cells)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
