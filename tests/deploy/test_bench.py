"""`deploy/bench --quick` measures a moment of everything; what it finds then says nothing, but that it runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.benchmarks.nginx import most_files

ROOT = Path(__file__).parent.parent.parent
ROWS = [
    "memory hit, 2 kB",
    "memory hit, 20 kB",
    "memory hit, 100 kB",
    "memory hit, 40 pictures of 10 kB, 5,000 browsers, direct",
    "memory hit, 40 pictures of 10 kB, 5,000 browsers, behind a proxy",
    "memory hit, 40 pictures of 10 kB, 5,000 browsers, no line per request",
    "memory hit, private by bearer, 40 pictures of 10 kB, 5,000 browsers",
    "memory hit, private by cookie, 40 pictures of 10 kB, 5,000 browsers",
    "304, private, 5,000 browsers",
    "sealed URLs, 40 pictures of 10 kB, 5,000 browsers",
    "/api/v4/file/thumb, 40 pictures, 5,000 browsers",
    "finished answers in memory, 5,000 browsers x 40 public pictures",
    "requests per CPU second, 2 workers over one",
    "memory hit, private, 20 kB, alike",
    "304, 5,000 browsers",
    "304, alike",
    "p50 at half load",
    "p99 at half load",
    "p99.9 at half load",
    "Redis hit over",
    "disk hit over",
    "calls per 1,000 misses",
    "calls per 1,000 hits of Redis",
    "cold miss by the least proxy",
    "cold miss, against the direct two steps",
    "resolves and fetches, 500 requests, 3 replicas, 1 cold picture",
    "waiter's delay after the leader's end",
    "cold miss with Redis, against the direct two steps",
    "commands to Redis per cold miss",
    "memory per",
    "profile: a hit of memory",
    "profile: the rest",
]


@pytest.mark.needs("nginx")
@pytest.mark.timeout(900)
def test_the_bench_runs() -> None:
    """Every answer is compared with what it should be; one that is wrong ends it."""
    words = [sys.executable, "-m", "deploy.benchmarks", "--quick"]
    run = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    assert run.returncode == 0, run.stderr
    titles = [line.split("|")[1].strip() for line in run.stdout.splitlines() if line.startswith("|")]
    assert not [row for row in ROWS if not any(title.startswith(row) for title in titles)]


@pytest.mark.parametrize(("limit", "files"), [(1024, 256), (8192, 5120), (20_000, 16_928), (1_048_576, 20_000)])
def test_nginx_has_descriptors_left_for_connections(limit: int, files: int) -> None:
    """Else it answers 500 to some, and the others wait for half a second."""
    assert most_files(limit) == files < limit
