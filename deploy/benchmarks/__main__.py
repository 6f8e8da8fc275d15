"""`deploy/bench`: starts everything on loopback, measures, and prints one table."""

from __future__ import annotations

import asyncio
import os
import signal
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import uvloop
from rich.console import Console

from deploy.benchmarks.footprint import Soak
from deploy.benchmarks.load import tool
from deploy.benchmarks.parts import PARTS, Parts
from deploy.benchmarks.stage import Stage
from deploy.benchmarks.table import Report

WIDTH = 220


def main() -> None:
    """Read the command line and do as it says."""
    parser = ArgumentParser(
        prog="deploy/bench",
        description="Measures the gateway against nginx in the same run.",
        epilog="parts:\n" + "\n".join(f"  {name:10} {about}" for name, about in PARTS.items()),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="what is measured; all parts when none is named")
    parser.add_argument("--quick", action="store_true", help="a moment of everything, to see that it works")
    parser.add_argument("--silent", action="store_true", help="neither side writes a line per request")
    parser.add_argument("--rounds", type=int, default=5, help="how often both are asked in turn (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long each is asked in a round (3)")
    parser.add_argument("--soak", type=float, metavar="MINUTES", default=0.0, help="watch memory under load, only that")
    parser.add_argument("--cloudreve", metavar="URL", help="a real Cloudreve, for the two-step path on it")
    parser.add_argument("--uri", help="a File URI that anybody may see there (its share SHARE's one.png)")
    parser.add_argument("--python", metavar="PATH", help="have another version serve: the Python that has it")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - PARTS.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    if asked.quick:
        asked.rounds, asked.seconds = 1, 0.2
    if asked.cloudreve and not asked.uri:
        if "SHARE" not in os.environ:
            parser.error("--cloudreve needs --uri")
        asked.uri = f"cloudreve://{os.environ['SHARE']}@share/one.png"
    uvloop.run(_until_told(_bench(asked)))


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    """Work until the end, or until SIGTERM: servers are ended either way."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await task


async def _bench(asked: Namespace) -> None:
    report, console = Report(), Console(width=WIDTH)
    with TemporaryDirectory(prefix="thumb-proxy-bench-") as folder:
        async with Stage(Path(folder), is_narrated=not asked.silent, python=asked.python) as stage:
            report.remarks.append(_circumstances(asked, stage))
            await stage.start_redis()
            parts = Parts(stage, asked)
            rows = Soak(stage, asked.soak, parts.many).rows() if asked.soak else parts.rows(asked.parts or PARTS)
            async for row in rows:
                report.rows.append(row)
                console.print("  ".join(cell for cell in row.cells if cell), style="dim", highlight=False)
    report.remarks.append(f"Load average at the end: {', '.join(f'{load:.2f}' for load in os.getloadavg())}.")
    console.print()
    report.show(console)


def _circumstances(asked: Namespace, stage: Stage) -> str:
    """Say how the table was made."""
    loads = ", ".join(f"{load:.2f}" for load in os.getloadavg())
    lines = "no line per request" if asked.silent else "a line per request on both sides, nginx's buffered"
    return (
        f"Servers on core {stage.core}, load by {tool()}, Redis and Cloudreve's stand-in on core {stage.load_core}; "
        f"median of {asked.rounds} rounds of {asked.seconds:g} s, nginx and gateway in turn; {lines}. "
        f"Load average at the beginning: {loads}."
    )


if __name__ == "__main__":
    main()
