"""The capacity planner: its stream, its tiers, and a plan that is held against what real gateways do."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from deploy.planning.figures import Cost, Figures, Where
from deploy.planning.plan import Limits, Plan, lines
from deploy.planning.rehearsal import rehearsal
from deploy.planning.simulation import Lru, Site, Tiers, simulated
from deploy.planning.stream import DAY_S, HOUR_S, Traffic, Visit

WITHIN = 0.15
FIGURES = Figures(
    Cost(50, 0, 0), Cost(300, 0, 0), Cost(100, 10, 1), Cost(400, 20, 3), Cost(1500, 60, 8), Cost(2500, 150, 15),
    376.0, 20_600.0, 1_243.0, 21_122.0, 20_000.0, 60e6,
)  # fmt: skip


def test_few_galleries_are_asked_for_often() -> None:
    """By Zipf's law: the first takes many times what the hundredth does, and all are asked for."""
    traffic = Traffic(pictures=4_000, visitors=30_000, returns=0.0)
    visits = Counter(visit.gallery for visit in traffic.stream(1, Random(1)))  # noqa: S311 - the same every time
    assert set(visits) <= set(range(100))
    assert visits.total() == traffic.visits
    assert 20 < visits[0] / visits[99] < 150


def test_a_visitor_who_stays_asks_again_after_an_hour() -> None:
    visits = list(Traffic(pictures=4_000, visitors=2_000).stream(1, Random(1)))  # noqa: S311 - the same every time
    assert [visit.at_s for visit in visits] == sorted(visit.at_s for visit in visits)
    assert 0.2 < sum(visit.is_return for visit in visits) / sum(not visit.is_return for visit in visits) < 0.3


def test_recently_used_entries_stay_until_their_end() -> None:
    lru = Lru(30.0)
    for number in range(3):
        lru.put(("p", number), 0.0, 100.0, 10.0)
    assert lru.has(("p", 0), 1.0)
    lru.put(("p", 3), 2.0, 50.0, 10.0)
    assert [lru.has(("p", number), 2.0) for number in range(4)] == [True, False, True, True]
    assert not lru.has(("p", 3), 50.0)
    lru.put(("p", 4), 60.0, 100.0, 10.0)
    assert (lru.size_bytes, lru.most_bytes) == (30.0, 30.0)


def test_a_page_is_found_where_it_was_left() -> None:
    """Loaded once, shared by Redis, kept in memory, renewed after an hour; a user's grant is no other's."""
    tiers = Tiers(Site(replicas=2), FIGURES)

    def seen(at_s: float, replica: int, identity: int = 0, *, is_return: bool = False) -> Where:
        return tiers.visit(Visit(at_s, 7, identity, is_return), replica)

    assert seen(0.0, 0) == Where("cloudreve", "cloudreve")
    assert seen(1.0, 1) == Where("redis", "redis")
    assert seen(2.0, 1) == Where("answer", "memory")
    assert seen(2.0, 0) == Where("memory", "memory")
    assert seen(2.5, 0) == Where("answer", "memory")
    assert seen(3.0, 1, identity=5) == Where("cloudreve", "memory")
    assert seen(HOUR_S + 1, 0, is_return=True) == Where("cloudreve", "none")
    assert seen(DAY_S + 1, 0) == Where("cloudreve", "cloudreve")


def test_costs_add_up() -> None:
    """Measured numbers come out again, and the others are put together of them."""
    assert FIGURES.cost(Where("answer", "memory")) == FIGURES.memory_memory
    assert FIGURES.cost(Where("memory", "memory")) == FIGURES.memory_first
    assert FIGURES.cost(Where("redis", "redis")) == FIGURES.redis_redis
    assert FIGURES.cost(Where("cloudreve", "cloudreve")) == FIGURES.cloudreve_cloudreve
    assert FIGURES.cost(Where("cloudreve", "redis")) == Cost(1550, 70, 9)


def test_figures_outlive_their_file(tmp_path: Path) -> None:
    FIGURES.save(tmp_path / "figures.json")
    assert Figures.load(tmp_path / "figures.json") == FIGURES


def test_a_sample_has_the_hit_rates_of_the_whole() -> None:
    traffic, site = Traffic(pictures=400_000, visitors=40_000), Site(replicas=2, memory_bytes=50e6)
    whole, part = simulated(traffic, site, FIGURES), simulated(traffic, site, FIGURES, sample=8)
    assert part.requests == pytest.approx(whole.requests, rel=0.001)
    for named in ({"grant": "answer"}, {"grant": "cloudreve"}, {"picture": "redis"}):
        assert part.share(**named) == pytest.approx(whole.share(**named), abs=0.05)
    assert part.redis_bytes == pytest.approx(whole.redis_bytes, rel=0.1)


@pytest.mark.parametrize(
    ("limits", "first"),
    [
        (Limits(resolves_per_s=0.001), "Cloudreve's resolves"),
        (Limits(redis_bytes=1.0), "Redis' memory"),
        (Limits(redis_bytes_per_s=1.0), "Redis' network"),
        (Limits(replica_bytes_per_s=1.0), "network of gateways"),
    ],
)
def test_the_scarcest_resource_breaks_first(limits: Limits, first: str) -> None:
    traffic, site = Traffic(pictures=40_000, visitors=1_000), Site(replicas=2, memory_bytes=50e6)
    plan = Plan(traffic, site, simulated(traffic, site, FIGURES), FIGURES, limits)
    assert plan.needs()[0].name == first
    assert any(line.startswith(f"  breaks first     {first}") for line in lines(plan))
    assert (plan.store() == "Redis Cluster") is first.startswith("Redis'")


def test_the_figures_that_come_with_it_plan_three_sites() -> None:
    """Of ten thousand, a million and a hundred million pictures."""
    words = [sys.executable, "-m", "deploy.planning"]
    root = Path(__file__).parent.parent.parent
    told = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True, timeout=50).stdout  # noqa: S603
    assert [line for line in told.splitlines() if line.endswith("replicas")] == [
        "10,000 pictures, 1,000 visitors a day, 1 replicas",
        "1,000,000 pictures, 100,000 visitors a day, 3 replicas",
        "100,000,000 pictures, 5,000,000 visitors a day, 24 replicas",
    ]
    assert told.count("breaks first") == 3


async def test_a_small_site_does_what_its_plan_says() -> None:
    """Calls to Cloudreve; what a request costs is for the tool to say, on a machine that is idle."""
    async with rehearsal() as real:
        rows = await real.checked(FIGURES, Traffic(pictures=400, visitors=300, returns=0.0), 4_000_000)
    for name, planned, counted in rows[:2]:
        assert counted > 0, name
        assert planned == pytest.approx(counted, rel=WITHIN), name
