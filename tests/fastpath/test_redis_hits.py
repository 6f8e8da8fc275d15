"""Pictures that are read from Redis together: each request has its own, counted and logged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from proxy.cache.memory_tier import MemoryTier
from proxy.cache.tiers import Tiers
from proxy.fastpath.entry import FinishedAnswer, HeadAndBody
from proxy.fastpath.recalls import Recalls
from proxy.fastpath.redis_hits import Read, RedisHits
from proxy.upstream.clock import Clock

OURS = 1_700_000_000.0


@dataclass
class Shared:
    """A picture in Redis, under its name."""

    name: str

    def body(self, value: bytes) -> bytes | None:
        """Take no other picture's bytes."""
        return value if value == self.name.encode() else None


@dataclass
class Known:
    """An answer whose log lines and counts are kept."""

    name: str
    has_body: bool = True
    lines: list[tuple[float, float]] = field(default_factory=list)
    counted: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Be its own provenance, count and line."""
        self.shared: Shared | None = Shared(self.name)
        self.picture_key = self.name
        self.provenances = self.redis = self.tally = self.log_line = self

    def add(self, seconds: float, sent_bytes: int) -> None:
        """Count an answer."""
        self.counted.append((seconds, sent_bytes))

    def in_batch(self, ms: float, now: float) -> None:
        """Write a line."""
        self.lines.append((ms, now))

    def head_for(self, now: float, date: bytes, provenance: object) -> bytes:  # noqa: ARG002
        """Give a head with the date alone."""
        return date


@dataclass
class RedisTiers:
    """Gives for each name the bytes of it."""

    memory: MemoryTier = field(default_factory=lambda: MemoryTier(1_000_000))
    deletions: int = 0
    reads: list[Sequence[str]] = field(default_factory=list)

    def read_soon(self, names: Sequence[str], deliver: Callable[[Sequence[bytes | None]], None]) -> None:
        """Reply at once."""
        self.reads.append(names)
        deliver([name.encode() for name in names])


@pytest.fixture
def tiers() -> RedisTiers:
    """Build them."""
    return RedisTiers()


@pytest.fixture
def hits(tiers: RedisTiers) -> RedisHits:
    """Build it, on a clock that stands."""
    given = cast("Tiers", tiers)
    return RedisHits(lambda *_: True, given, Recalls(tiers.memory), Clock(lambda: OURS, lambda: 0.0), 60.0)


async def ask(hits: RedisHits, *asked: Known) -> dict[bytes, HeadAndBody | None]:
    """Ask for them in one tick; give the answers by request."""
    answers: dict[bytes, HeadAndBody | None] = {}

    def receive(raw: bytes, answer: Any, known: FinishedAnswer, value: bytes | None, read: Read) -> None:  # noqa: ANN401
        answers[raw] = answer(known, value, read)

    for known in asked:
        assert hits.ask(cast("FinishedAnswer", known), f"GET {known.name}".encode(), receive)
    await asyncio.sleep(0)
    return answers


async def test_each_request_of_a_batch_has_its_own_picture(hits: RedisHits, tiers: RedisTiers) -> None:
    answers = await ask(hits, *(Known(name) for name in "abc"))
    assert {raw: answer and answer[1] for raw, answer in answers.items()} == {
        b"GET a": b"a",
        b"GET b": b"b",
        b"GET c": b"c",
    }
    assert [list(names) for names in tiers.reads] == [["a", "b", "c"]]


async def test_an_answer_is_counted_and_logged_with_its_time(hits: RedisHits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second is 500 ms in the log."""
    times = iter([1.0, 1.5])
    monkeypatch.setattr("proxy.fastpath.redis_hits.time.perf_counter", lambda: next(times))
    known = Known("a")
    await ask(hits, known)
    assert known.counted == [(0.5, 1)]
    assert known.lines == [(500.0, OURS)]


async def test_a_head_alone_is_asked_for_and_given(hits: RedisHits) -> None:
    known = Known("a", has_body=False)
    answers = await ask(hits, known)
    head, body = answers[b"GET a"] or (b"", b"?")
    assert (head, body) == (b"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n\r\n", b"")
    assert known.counted[0][1] == 0
