"""`deploy/interleavings`: files change through replicas while viewers look on, in any order, thousands of times."""

from __future__ import annotations

import asyncio
import random
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy.drills.interleavings.play import Findings, Play
from deploy.drills.interleavings.stage import staged
from deploy.drills.interleavings.versions import BOUND_S
from deploy.drills.until_told import until_told
from proxy.observe.log import configure
from proxy.settings import LogSettings


def main() -> int:
    """Read the command line, and do as it says; 1 when an old picture was shown past its bound."""
    parser = ArgumentParser(
        prog="deploy/interleavings",
        description="Changes files through three replicas on one Redis, in front of the stand-in, while an owner, "
        "visitors of a share and of a published folder, and browsers with sealed URLs and validators look on at all of "
        "them; Redis hangs now and then, and replicas are started anew over their disks. Fails where a replica shows "
        "what it has been told is over, or another does for longer than two seconds.",
    )
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the random choices")  # noqa: S311
    asked = parser.parse_args()
    writer = configure(LogSettings(level="error"))
    try:
        findings = asyncio.run(until_told(_played(asked)))
    finally:
        writer.close()
    _tell(findings, asked)
    return 1 if findings.wrong else 0


async def _played(asked: Namespace) -> Findings:
    with TemporaryDirectory(prefix="thumb-proxy-interleavings-") as folder:
        async with staged(Path(folder)) as stage:
            return await Play(stage, asked.seed).steps(asked.steps)


def _tell(findings: Findings, asked: Namespace) -> None:
    lines = [f"seed {asked.seed}, {asked.steps:,} steps"]
    lines += [f"{count:8,} {what}" for what, count in sorted(findings.counts.items())]
    latest = f"the latest {findings.longest_s:.2f} s after the change"
    lines.append(f"{len(findings.late):8,} old pictures elsewhere (bound {BOUND_S:g} s), {latest}")
    lines.append(f"{len(findings.wrong):8,} old pictures past their bound")
    for late in findings.wrong[:5]:
        view = late.view
        lines.append(f"         {view.viewer} at replica {view.replica}, {view.path}: {late.seconds:.3f} s late")
    print("\n".join(lines))  # noqa: T201 - what it is for


if __name__ == "__main__":
    sys.exit(main())
