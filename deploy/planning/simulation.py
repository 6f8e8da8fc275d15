"""The tiers, simulated gallery by gallery: which requests are answered from where."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random
from typing import TypeAlias

from deploy.planning.figures import Figures, Where
from deploy.planning.stream import DAY_S, GALLERY, HOUR_S, Traffic, Visit

Key: TypeAlias = tuple[str, *tuple[int, ...]]
"""`g`, gallery and identity for a gallery's grants; `p` and gallery for its pictures."""
ANSWER_BYTES = 3_000.0
"""What the fast path counts for one answer."""
PICTURE_TTL_S = DAY_S
"""`pictures.ttl_s`."""


@dataclass(slots=True)
class Lru:
    """Keeps what was used last, each for its own time, within a bound."""

    max_bytes: float
    held: OrderedDict[Key, tuple[float, float]] = field(default_factory=OrderedDict)
    ends: list[tuple[float, Key]] = field(default_factory=list)
    """A heap of when what ends; what has been replaced may be in it still."""
    size_bytes: float = 0.0
    most_bytes: float = 0.0

    def has(self, key: Key, now_s: float) -> bool:
        """Tell whether it is held, and count that as a use."""
        found = self.held.get(key)
        if found is None or found[0] <= now_s:
            return False
        self.held.move_to_end(key)
        return True

    def put(self, key: Key, now_s: float, until_s: float, size_bytes: float) -> None:
        """Hold it; what is over goes first."""
        while self.ends and self.ends[0][0] <= now_s:
            end_s, over = heappop(self.ends)
            if over in self.held and self.held[over][0] <= end_s:
                self.size_bytes -= self.held.pop(over)[1]
        if size_bytes > self.max_bytes:
            return
        if key in self.held:
            self.size_bytes -= self.held.pop(key)[1]
        self.held[key] = (until_s, size_bytes)
        heappush(self.ends, (until_s, key))
        self.size_bytes += size_bytes
        while self.size_bytes > self.max_bytes:
            self.size_bytes -= self.held.popitem(last=False)[1][1]
        self.most_bytes = max(self.most_bytes, self.size_bytes)


@dataclass(frozen=True, slots=True)
class Site:
    """What there is for the traffic."""

    replicas: int
    memory_bytes: float = 268_435_456.0
    """`memory.max_bytes` of each."""
    answers_bytes: float = 16_777_216.0
    """`memory.max_answers_bytes` of each: an answer that is known needs no look at its grant."""
    redis_bytes: float = 16e9
    grant_ttl_s: float = HOUR_S
    """`grants.max_ttl_s`, at most what Cloudreve gives."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a day's requests were answered from, and what Redis held at most."""

    answered: Counter[Where]
    redis_grants: float
    redis_bytes: float

    @property
    def requests(self) -> int:
        """All of them."""
        return self.answered.total()

    def share(self, **named: str) -> float:
        """Tell which part was answered from the named places."""
        found = sum(n for where, n in self.answered.items() if all(getattr(where, k) == v for k, v in named.items()))
        return found / max(self.requests, 1)


class Tiers:
    """The memory of each replica, and one Redis."""

    def __init__(self, site: Site, figures: Figures, sample: int = 1) -> None:
        self._site = site
        self._figures = figures
        self._memories = [Lru(site.memory_bytes / sample) for _ in range(site.replicas)]
        self._answers = [Lru(site.answers_bytes / sample) for _ in range(site.replicas)]
        self.redis = Lru(site.redis_bytes / sample)

    def visit(self, visit: Visit, replica: int) -> Where:
        """Answer one page."""
        memory, answers = self._memories[replica], self._answers[replica]
        key, now_s = ("g", visit.gallery, visit.identity), visit.at_s
        grant = "answer" if answers.has(key, now_s) else self._found(memory, key, now_s)
        picture = "none" if visit.is_return else self._found(memory, ("p", visit.gallery), now_s)
        if "cloudreve" not in (grant, picture) and grant != "answer" and key in self.redis.held:
            answers.put(key, now_s, self.redis.held[key][0], GALLERY * ANSWER_BYTES)
        return Where(grant, picture)

    def _found(self, memory: Lru, key: Key, now_s: float) -> str:
        is_grant, figures = key[0] == "g", self._figures
        if memory.has(key, now_s):
            return "memory"
        near = GALLERY * (figures.grant_bytes_memory if is_grant else figures.picture_bytes_memory)
        far = GALLERY * (figures.grant_bytes_redis if is_grant else figures.picture_bytes_redis)
        is_shared = self.redis.has(key, now_s)
        until_s = now_s + (self._site.grant_ttl_s if is_grant else PICTURE_TTL_S)
        if is_shared:
            until_s = self.redis.held[key][0]
        else:
            self.redis.put(key, now_s, until_s, far)
        memory.put(key, now_s, until_s, near)
        return "redis" if is_shared else "cloudreve"


def simulated(traffic: Traffic, site: Site, figures: Figures, sample: int = 1) -> Outcome:
    """Let one day warm the tiers, and count the second; all galleries, of which one in `sample` was simulated."""
    random, tiers = Random(1), Tiers(site, figures, sample)  # noqa: S311 - the same stream every time
    answered, grants = _answered(tiers, traffic.stream(2, random, sample), site.replicas, random)
    real = traffic.visits * GALLERY * (1 + traffic.returns)
    factor = real / max(answered.total() * GALLERY, 1)
    counted = Counter({where: round(n * GALLERY * factor) for where, n in answered.items()})
    return Outcome(counted, grants * GALLERY * sample, tiers.redis.most_bytes * sample)


def _answered(tiers: Tiers, visits: Iterable[Visit], replicas: int, random: Random) -> tuple[Counter[Where], int]:
    """Count the second day's pages by where they were answered from; and the galleries' grants in Redis, at most."""
    answered: Counter[Where] = Counter()
    most, looked_at_s = 0, 0.0
    for visit in visits:
        where = tiers.visit(visit, random.randrange(replicas))
        if visit.at_s >= DAY_S:
            answered[where] += 1
        if visit.at_s - looked_at_s >= HOUR_S:
            most, looked_at_s = max(most, sum(1 for key in tiers.redis.held if key[0] == "g")), visit.at_s
    return answered, most
