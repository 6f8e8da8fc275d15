"""Visitors of all kinds on shared connections, in any order: each gets what the long way alone would give them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.standin.library import SHARE_PASSWORD
from proxy.standin.standin import StandIn
from tests.harness.gateways import Front, House
from tests.harness.raw_client import Answer, Caller, bearer, calling, request

CONNECTIONS = 3


@dataclass(frozen=True)
class Ask:
    """Requests written to one connection together, cut into two pieces at a place."""

    connection: int
    questions: tuple[tuple[int, int, int], ...]
    """Who asks for what, and with which field that means nothing."""
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


class ConnectionLimits:
    """The same visitors before two gateways, one of which has no hit path to speak of."""

    def __init__(self, cloudreve: StandIn, house: House, callers: Sequence[tuple[Caller, Caller]]) -> None:
        self._cloudreve = cloudreve
        self._house = house
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
                self._house.hours.pass_by(step.seconds)
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
async def connection_limits() -> AsyncIterator[tuple[ConnectionLimits, Front]]:
    """Start everything."""
    async with AsyncExitStack() as stack:
        cloudreve = await stack.enter_async_context(StandIn(size=(8, 8)))
        house = await stack.enter_async_context(House(cloudreve))
        short = await house.open(identity={"ttl_s": 300.0}, grants={"renew_s": 60.0})
        long = await house.open(identity={"ttl_s": 300.0}, grants={"renew_s": 60.0}, memory={"max_answers_bytes": 1})
        callers = [
            (await stack.enter_async_context(calling(short)), await stack.enter_async_context(calling(long)))
            for _ in range(CONNECTIONS)
        ]
        yield ConnectionLimits(cloudreve, house, callers), short


@given(STEPS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_everybody_gets_what_the_long_way_would_give_them(steps: list[list[Ask | Wait | Replace]]) -> None:
    """Identities, pictures, connections, pieces and time in any order."""

    async def play() -> None:
        async with connection_limits() as (visitors, _):
            for step in (step for group in steps for step in group):
                await visitors.take(step)

    asyncio.run(play())


async def test_the_crowd_does_meet_the_hit_path() -> None:
    """Else the test above would say nothing."""
    async with connection_limits() as (visitors, short):
        for _ in range(4):
            await visitors.take(Ask(0, ((0, 2, 0),), 0))
        assert short.gateway.hits.size_bytes > 0
