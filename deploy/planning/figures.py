"""What one request costs, depending on where its grant and its picture come from; measured, and kept as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Self

import msgspec


class Cost(msgspec.Struct, frozen=True):
    """Of one request."""

    gateway_us: float
    """Of a core of the gateway's, user and system time."""
    redis_us: float = 0.0
    """Of Redis' core."""
    commands: float = 0.0
    """As Redis counts them, those within scripts included."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.gateway_us + other.gateway_us, self.redis_us + other.redis_us, self.commands + other.commands)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.gateway_us - other.gateway_us, self.redis_us - other.redis_us, self.commands - other.commands)


class Where(NamedTuple):
    """The places that a request was answered from: memory, redis or cloudreve; `answer` where the fast path knew it."""

    grant: str
    picture: str
    """`none` where the browser has it already."""


class Figures(msgspec.Struct, frozen=True):
    """All that is measured; sizes are in bytes."""

    memory_memory: Cost
    """An answer that the fast path knows, the picture in memory."""
    memory_first: Cost
    """Grant and picture from memory, for the first time."""
    memory_redis: Cost
    redis_redis: Cost
    """What another replica has loaded."""
    cloudreve_memory: Cost
    """Another identity asks, or a grant has ended."""
    cloudreve_cloudreve: Cost
    """A cold miss."""
    grant_bytes_redis: float
    picture_bytes_redis: float
    grant_bytes_memory: float
    picture_bytes_memory: float
    picture_bytes: float
    gateway_bytes: float
    """A gateway that has nothing in its memory tier."""

    def cost(self, where: Where) -> Cost:
        """Put the cost of a request together from what was measured."""
        grant = {
            "answer": self.memory_memory,
            "memory": self.memory_first,
            "redis": self.memory_memory + self.redis_redis - self.memory_redis,
            "cloudreve": self.cloudreve_memory,
        }[where.grant]
        more = {
            "redis": self.memory_redis - self.memory_memory,
            "cloudreve": self.cloudreve_cloudreve - self.cloudreve_memory,
        }.get(where.picture, Cost(0.0))
        return grant + more

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` has written; raise msgspec.ValidationError for anything else."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def save(self, path: Path) -> None:
        """Write JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
