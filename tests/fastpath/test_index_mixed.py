"""Visitors of all kinds on shared connections, in any order: each gets what the long way alone would give them.

`MIXED_EXAMPLES` sets how many random orders are tried.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.fastpath.entry import FinishedAnswer, HeadAndBody
from proxy.fastpath.redis_hits import Read, RedisHits
from proxy.standin.library import SHARE_PASSWORD
from proxy.standin.standin import StandIn
from tests.harness.gateways import GatewayClient, GatewayLauncher
from tests.harness.raw_client import Answer, Caller, bearer, calling, request
from tests.harness.redis_server import RedisServer

CONNECTIONS = 3
EXAMPLES = int(os.environ.get("MIXED_EXAMPLES", "8"))
NO_PICTURES = {"max_bytes": 12_000}
"""Room for grants in memory; a picture takes more than a quarter."""
TERMS: dict[str, Any] = {"identity": {"ttl_s": 300.0}, "grants": {"renew_s": 60.0}}
FACTORIES = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass(frozen=True)
class Ask:
    """Requests written to one connection together, cut into two pieces at a place."""

    connection: int
    questions: tuple[tuple[int, int, int], ...]
    """The visitor, the picture, and a field that means nothing."""
    cut: int


@dataclass(frozen=True)
class Wait:
    """Time goes by."""

    seconds: int


@dataclass(frozen=True)
class Replace:
    """Somebody uploads another picture in place of one."""

    name: str


QUESTION = st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(0, 1))
ASK = st.builds(
    Ask, st.integers(0, CONNECTIONS - 1), st.lists(QUESTION, min_size=1, max_size=3).map(tuple), st.integers(0, 400)
)
AGAIN = st.tuples(ASK, st.integers(1, 5)).map(lambda drawn: [drawn[0]] * drawn[1])
WAIT = st.builds(Wait, st.sampled_from([1, 30, 400, 3700]))
REPLACE = st.builds(Replace, st.sampled_from(["one", "two"]))
STEPS = st.lists(
    st.one_of(AGAIN, AGAIN, AGAIN, WAIT.map(lambda wait: [wait]), REPLACE.map(lambda one: [one])), max_size=40
)


class VisitedGateways:
    """The same visitors before two gateways, one of which has no hit path to speak of."""

    def __init__(self, cloudreve: StandIn, launcher: GatewayLauncher, callers: Sequence[tuple[Caller, Caller]]) -> None:
        self._cloudreve = cloudreve
        self._launcher = launcher
        self._callers = callers
        tokens = cloudreve.token("alice", life_s=9000), cloudreve.token("bob", life_s=9000)
        oauth = cloudreve.token("alice", client="a client", scopes=("openid",), life_s=9000)
        lines = [*map(bearer, tokens), bearer(oauth), bearer(tokens[0][:-2] + "xx"), "X-Cr-Purchase-Ticket: a"]
        self._visitors = [[], *([line] for line in lines)]
        library = cloudreve.library
        self._uris = [
            "cloudreve://my/album/one.png",
            f"cloudreve://{library.alice.id}@my/album/one.png",
            f"cloudreve://{library.share.id}@share/one.png",
            f"cloudreve://{library.share.id}@share/two.png",
            f"cloudreve://{library.private_share.id}:{SHARE_PASSWORD}@share/one.png",
            f"cloudreve://{library.private_share.id}:wrong@share/one.png",
            "cloudreve://my/bob.png",
        ]

    async def take(self, step: Ask | Wait | Replace) -> None:
        """Carry one step out, and compare what both gateways say."""
        match step:
            case Ask():
                raws = [self._raw(*question) for question in step.questions]
                short, long = [await ask(caller, raws, step.cut) for caller in self._callers[step.connection]]
                assert [seen(answer) for answer in short] == [seen(answer) for answer in long]
            case Wait():
                self._launcher.hours.pass_by(step.seconds)
            case Replace():
                self._cloudreve.library.put(self._cloudreve.library.alice, f"/album/{step.name}.png")

    def _raw(self, visitor: int, uri: int, decoration: int) -> bytes:
        return request(self._uris[uri], *self._visitors[visitor], f"Accept-Language: {decoration}")


async def ask(caller: Caller, raws: list[bytes], cut: int) -> list[Answer]:
    """Write everything, in two pieces, and read all answers."""
    whole = b"".join(raws)
    await caller.pieces(piece for piece in (whole[:cut], whole[cut:]) if piece)
    return [await caller.read() for _ in raws]


def seen(answer: Answer) -> tuple[int, list[str], bytes]:
    """Give what a visitor sees of an answer, and what it may be kept for."""
    problem = answer.body if answer.status == 200 else b""
    return answer.status, answer.fields.get("ETag", []), problem


@asynccontextmanager
async def visited_gateways(**sections: Any) -> AsyncIterator[tuple[VisitedGateways, GatewayClient]]:  # noqa: ANN401 - as `open`
    """Start everything; `sections` set up the gateway with a hit path."""
    async with AsyncExitStack() as stack:
        cloudreve = await stack.enter_async_context(StandIn(size=(60, 45)))
        launcher = await stack.enter_async_context(GatewayLauncher(cloudreve))
        short = await launcher.open(**TERMS, **sections)
        long = await launcher.open(**TERMS, memory={"max_answers_bytes": 1})
        callers = [
            (await stack.enter_async_context(calling(short)), await stack.enter_async_context(calling(long)))
            for _ in range(CONNECTIONS)
        ]
        yield VisitedGateways(cloudreve, launcher, callers), short


@pytest.fixture(params=["memory", "Redis"])
def sections(request: pytest.FixtureRequest, redis_server: RedisServer) -> dict[str, object]:
    """Set up a gateway whose pictures are in memory, or in Redis alone."""
    in_redis = {
        "memory": NO_PICTURES,
        "redis": {"url": redis_server.url, "timeout_s": 10.0},
        "seal": {"keys": ["k" * 32]},
    }
    return in_redis if request.param == "Redis" else {}


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
@given(steps=STEPS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_everybody_gets_what_the_long_way_would_give_them(
    factory: Callable[[], asyncio.AbstractEventLoop],
    sections: dict[str, object],
    redis_server: RedisServer,
    steps: list[list[Ask | Wait | Replace]],
) -> None:
    """Identities, pictures, connections, pieces and time in any order."""
    redis_server.command("FLUSHALL")  # a stand-in that has an earlier one's port is the same site

    async def play() -> None:
        async with visited_gateways(**sections) as (visitors, _):
            for step in (step for group in steps for step in group):
                await visitors.take(step)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(play())


async def test_the_crowd_does_meet_the_hit_path() -> None:
    """Else the test above would say nothing."""
    async with visited_gateways() as (visitors, short):
        for _ in range(4):
            await visitors.take(Ask(0, ((0, 2, 0),), 0))
        assert short.running.hits.size_bytes > 0


async def test_the_crowd_does_meet_redis(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Likewise: without a task, as soon as the picture has been read there once."""
    answer, hits = RedisHits.answer, list[bool]()

    def watched(self: RedisHits, known: FinishedAnswer, value: bytes | None, read: Read) -> HeadAndBody | None:
        wire = answer(self, known, value, read)
        hits.append(wire is not None)
        return wire

    monkeypatch.setattr(RedisHits, "answer", watched)
    async with visited_gateways(memory=NO_PICTURES, redis={"url": redis_server.url, "timeout_s": 10.0}) as (
        visitors,
        _,
    ):
        while not any(hits):
            await visitors.take(Ask(0, ((0, 2, 0),), 0))
