"""`deploy/capacity`: measures figures, computes plans from them, and holds one against a real run."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import uvloop

from deploy.planning.figures import Figures
from deploy.planning.plan import GIGA, Limits, Plan, lines
from deploy.planning.rehearsal import rehearsal
from deploy.planning.simulation import Site, simulated
from deploy.planning.stream import Traffic

SITES = ((10_000, 1_000, 1), (1_000_000, 100_000, 3), (100_000_000, 5_000_000, 24))
"""Pictures, visitors a day and replicas that are planned when nothing is asked for."""
FIGURES = Path(__file__).parent / "figures.json"
SIMULATED_VISITS = 60_000
WITHIN = 0.15
CHECKED = Traffic(pictures=1_200, visitors=2_500, returns=0.0)


def main() -> None:
    """Read the command line and do as it says."""
    parser = ArgumentParser(prog="deploy/capacity", description="Computes what a site needs.")
    parser.add_argument("--figures", type=Path, default=FIGURES, help="what one request costs, as --measure wrote it")
    parser.add_argument("--measure", type=Path, metavar="FILE", help="measure the figures on this machine")
    parser.add_argument("--check", action="store_true", help="hold a plan of a small site against a real run")
    parser.add_argument("--quick", action="store_true", help="measure and check a moment only, to see that it works")
    parser.add_argument("--pictures", type=int, help="instead of the three sites of 10 thousand to 100 million")
    parser.add_argument("--visitors", type=int, default=1_000, help="a day (1000)")
    parser.add_argument("--replicas", type=int, default=1, help="gateways with a core each (1)")
    parser.add_argument("--private", type=float, default=Traffic(1, 1).private, help="part that is signed in (0.2)")
    parser.add_argument("--memory-gb", type=float, default=0.268, help="memory.max_bytes of each gateway (0.268)")
    parser.add_argument("--redis-gb", type=float, default=16.0, help="of one server (16)")
    parser.add_argument("--resolves", type=float, default=Limits().resolves_per_s, help="a second, by Cloudreve (200)")
    sys.exit(_run(parser.parse_args()))


def _run(asked: Namespace) -> int:
    if asked.measure is not None or asked.check:
        return uvloop.run(_rehearsed(asked))
    figures = Figures.load(asked.figures)
    sites = SITES if asked.pictures is None else ((asked.pictures, asked.visitors, asked.replicas),)
    for pictures, visitors, replicas in sites:
        plan = _plan(asked, figures, Traffic(pictures, visitors, private=asked.private), replicas)
        sys.stdout.write("\n".join(lines(plan)) + "\n\n")
    return 0


def _plan(asked: Namespace, figures: Figures, traffic: Traffic, replicas: int) -> Plan:
    limits = Limits(resolves_per_s=asked.resolves, redis_bytes=asked.redis_gb * GIGA)
    # What one Redis cannot hold is held by several: the plan says so.
    site = Site(replicas, asked.memory_gb * GIGA, redis_bytes=1e15)
    sample = max(1, traffic.visits // SIMULATED_VISITS)
    return Plan(traffic, site, simulated(traffic, site, figures, sample), figures, limits)


async def _rehearsed(asked: Namespace) -> int:
    async with rehearsal() as real:
        figures = await real.measured(80, 3) if asked.quick else await real.measured(1_000, 20)
        if asked.measure is not None:
            await asyncio.to_thread(figures.save, asked.measure)
        return 0 if not asked.check else _told(await real.checked(figures, CHECKED, 8_000_000))


def _told(rows: list[tuple[str, float, float]]) -> int:
    """Write what was planned and what was so; give the exit status."""
    for name, planned, real in rows:
        sys.stdout.write(f"{name:36} planned {planned:10,.2f}  real {real:10,.2f}  {planned / real - 1:+.1%}\n")
    return int(any(abs(planned / real - 1) > WITHIN for _, planned, real in rows))


if __name__ == "__main__":
    main()
