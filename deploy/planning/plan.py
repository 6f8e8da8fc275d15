"""From a simulated day to what it needs, what breaks first, and what answers that."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.planning.figures import Figures
from deploy.planning.simulation import Outcome, Site
from deploy.planning.stream import DAY_S, Traffic

PEAK = 4.0
"""How many times the day's average the busiest minutes bring."""
BUSY = 0.6
"""Of a core: above this, waiting times grow."""
GIGA = 1e9


@dataclass(frozen=True, slots=True)
class Limits:
    """What there is of what cannot simply be had twice."""

    resolves_per_s: float = 200.0
    """What Cloudreve answers beside its other work."""
    redis_bytes: float = 16 * GIGA
    redis_bytes_per_s: float = GIGA / 8
    replica_bytes_per_s: float = GIGA / 8
    """A network of a gigabit."""


@dataclass(frozen=True, slots=True)
class Need:
    """One resource in the busiest minutes: how much of what there is."""

    name: str
    used: float
    answer: str


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a site needs."""

    traffic: Traffic
    site: Site
    outcome: Outcome
    figures: Figures
    limits: Limits

    @property
    def peak_per_s(self) -> float:
        """Requests in the busiest minutes."""
        return self.outcome.requests / DAY_S * PEAK

    @property
    def cores(self) -> float:
        """Cores of gateways that are busy for the part `BUSY`."""
        return self._spent("gateway_us") / 1e6 / BUSY

    @property
    def redis_cores(self) -> float:
        """The part of Redis' one core."""
        return self._spent("redis_us") / 1e6

    @property
    def commands_per_s(self) -> float:
        """Commands to Redis, those within scripts included."""
        return self._spent("commands")

    @property
    def resolves_per_s(self) -> float:
        """Calls to Cloudreve's API."""
        return self.peak_per_s * self.outcome.share(grant="cloudreve")

    @property
    def fetches_per_s(self) -> float:
        """Images fetched from storage."""
        return self.peak_per_s * self.outcome.share(picture="cloudreve")

    @property
    def memory_bytes(self) -> float:
        """Of each gateway."""
        return self.figures.gateway_bytes + self.site.memory_bytes

    def needs(self) -> list[Need]:
        """List resources, the scarcest first."""
        limits, figures = self.limits, self.figures
        shown = 1 - self.outcome.share(picture="none")
        sent = self.peak_per_s * shown * figures.picture_bytes
        far = sum(self.outcome.share(picture=place) for place in ("redis", "cloudreve"))
        read = self.peak_per_s * far * figures.picture_bytes
        shard = "Redis Cluster: each shard has its own core, memory and network"
        found = [
            Need("cores of gateways", self.cores / self.site.replicas, "more replicas, or a CDN before public shares"),
            Need("network of gateways", sent / limits.replica_bytes_per_s / self.site.replicas, "a CDN in front"),
            Need("Redis' core", self.redis_cores / BUSY, shard),
            Need("Redis' memory", self.outcome.redis_bytes / limits.redis_bytes, shard),
            Need(
                "Redis' network",
                read / limits.redis_bytes_per_s,
                f"larger memory.max_bytes or disk tiers, then {shard}",
            ),
            Need(
                "Cloudreve's resolves",
                self.resolves_per_s / limits.resolves_per_s,
                "longer grants, or more of Cloudreve",
            ),
        ]
        return sorted(found, key=lambda need: -need.used)

    def store(self) -> str:
        """Name the kind of Redis that this takes."""
        if any(need.used > 1 for need in self.needs() if need.name.startswith("Redis'")):
            return "Redis Cluster"
        if self.site.replicas == 1:
            return "none: a disk tier will do"
        return "a single Redis; Sentinel where a lost one must not cost a cold cache"

    def _spent(self, what: str) -> float:
        """Sum a cost up over the requests of a second."""
        each = sum(float(getattr(self.figures.cost(where), what)) * n for where, n in self.outcome.answered.items())
        return each / max(self.outcome.requests, 1) * self.peak_per_s


def lines(plan: Plan) -> list[str]:
    """Write a plan for people."""
    outcome, first, *_ = plan.outcome, *plan.needs()
    grants = [f"{place} {outcome.share(grant=place):.1%}" for place in ("answer", "memory", "redis", "cloudreve")]
    places = ("none", "memory", "redis", "cloudreve")
    pictures = [f"{place} {outcome.share(picture=place):.1%}" for place in places]
    grant_bytes = outcome.redis_grants * plan.figures.grant_bytes_redis
    held = f"{outcome.redis_bytes / GIGA:,.2f} GB, {outcome.redis_grants:,.0f} grants {grant_bytes / GIGA:,.2f} of them"
    return [
        f"{plan.traffic.pictures:,} pictures, {plan.traffic.visitors:,} visitors a day, {plan.site.replicas} replicas",
        f"  requests         {plan.peak_per_s:,.0f}/s at the peak, {outcome.requests:,} a day",
        f"  grants from      {', '.join(grants)}",
        f"  pictures from    {', '.join(pictures)} (none: the browser has it)",
        f"  gateways         {plan.cores:.2f} cores at {BUSY:.0%}, {plan.memory_bytes / GIGA:.2f} GB each",
        f"  Redis            {plan.commands_per_s:,.0f} commands/s, {plan.redis_cores:.1%} of its core, {held}",
        f"  Cloudreve        {plan.resolves_per_s:,.1f} resolves/s, {plan.fetches_per_s:,.1f} fetches/s",
        f"  breaks first     {first.name}, at {first.used:.0%} of what there is: {first.answer}",
        f"  shared store     {plan.store()}",
    ]
