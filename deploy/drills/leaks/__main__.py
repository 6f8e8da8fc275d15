"""`deploy/leaks`: holds what two replicas show against what Cloudreve grants, for minutes."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from argparse import ArgumentParser

from rich.console import Console

from deploy.drills.leaks.findings import Findings
from deploy.drills.leaks.play import play
from deploy.drills.until_told import until_told

ROUND_S = 60.0


def main() -> int:
    """Read the command line, and do as it says; 1 when something was shown that should not have been."""
    parser = ArgumentParser(
        prog="deploy/leaks",
        description="Lets users, owners and strangers act at random on two replicas that share a Redis, which is "
        "stopped, killed, full, emptied or evicts, and holds every picture, 304 and sealed URL against what Cloudreve "
        "grants: a real one where CLOUDREVE_URL names it, on which it registers users of its own, else the stand-in.",
    )
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the random choices")  # noqa: S311
    asked = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"seed {asked.seed}")
    findings, url = Findings(), os.environ.get("CLOUDREVE_URL")
    try:
        asyncio.run(until_told(play(findings, url, asked.minutes * 60, ROUND_S, asked.seed)))
    finally:
        findings.show(console)
    return 1 if findings.violations else 0


if __name__ == "__main__":
    sys.exit(main())
