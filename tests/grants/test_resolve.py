"""Resolving: in turn where two would collide, side by side where they would not, and patiently."""

from __future__ import annotations

import asyncio
import gc
import math
from collections import deque
from itertools import pairwise

import pytest

from proxy.coalesce.fair_queue import FairQueue
from proxy.coalesce.local_singleflight import LocalSingleflight
from proxy.domain.credentials import Credentials
from proxy.domain.errors import Busy, Unreachable
from proxy.domain.file_uri import FileUri
from proxy.domain.grant import Grant, Resolution
from proxy.domain.identity import ANONYMOUS, Identity, IdentityKind
from proxy.domain.refusal import Generating, Refusal, RefusalKind
from proxy.domain.thumb_request import ThumbRequest
from proxy.domain.visitor import Visitor
from proxy.grants.resolve import UPLOADS, Resolver
from proxy.upstream.breaker import UpstreamBreaker
from tests.harness.loops import some_steps

GRANT = Grant("https://cloud.example.com/x", 2e9, "ab12", own=True)
REFUSAL = Refusal(RefusalKind.FORBIDDEN, 403)
GENERATING = Generating(40073, "0d3cbb4c")
SHARED = ThumbRequest(FileUri("cloudreve://AEUa@share/one.png", "share"), client="192.0.2.1")
OTHER = ThumbRequest(FileUri("cloudreve://AEUa@share/two.png", "share"), client="192.0.2.1")
MINE = ThumbRequest(FileUri("cloudreve://my/one.png", "my"), client="192.0.2.1")


def visitor(subject: str) -> Visitor:
    return Visitor(Identity(IdentityKind.USER, subject), Credentials(f"token of {subject}"), math.inf)


ALICE, BOB, NOBODY = visitor("alice"), visitor("bob"), Visitor(ANONYMOUS, Credentials(), math.inf)


class FakeCloudreve:
    """Answers one call after the other as the test says, and remembers who was there together."""

    def __init__(self) -> None:
        self.breaker = UpstreamBreaker(self.ping, 1.0)
        self.answers: deque[Resolution | Exception] = deque()
        self.calls: list[str | None] = []
        self.open = asyncio.Event()
        self.open.set()
        self.at_work = self.peak = 0

    async def ping(self) -> None:
        """Be there."""

    async def resolve(self, _uri: FileUri, credentials: Credentials) -> Resolution:
        """Answer, once the test allows it."""
        self.calls.append(credentials.bearer)
        self.at_work += 1
        self.peak = max(self.peak, self.at_work)
        try:
            await self.open.wait()
        finally:
            self.at_work -= 1
        answer = self.answers.popleft() if self.answers else GRANT
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def cloudreve() -> FakeCloudreve:
    """Give a Cloudreve that grants everything."""
    return FakeCloudreve()


@pytest.fixture
def pauses() -> list[float]:
    """Give the list of pauses that were made."""
    return []


@pytest.fixture
def resolver(cloudreve: FakeCloudreve, pauses: list[float]) -> Resolver:
    """Give a resolver with two slots that pauses without letting time pass."""

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    return Resolver(cloudreve, LocalSingleflight(), FairQueue(2, 5), 30.0, pause)


async def resolved(resolver: Resolver, who: Visitor, request: ThumbRequest) -> Resolution:
    with resolver.admitted(who, request):
        return await resolver.resolve(who, request)


async def together(resolver: Resolver, cloudreve: FakeCloudreve, *wishes: tuple[Visitor, ThumbRequest]) -> int:
    """Resolve all at once, and tell how many were at Cloudreve together."""
    cloudreve.open.clear()
    tasks = [asyncio.create_task(resolved(resolver, *wish)) for wish in wishes]
    await some_steps()
    cloudreve.open.set()
    await asyncio.gather(*tasks)
    return cloudreve.peak


async def test_one_file_of_a_share_is_resolved_by_one_at_a_time(resolver: Resolver, cloudreve: FakeCloudreve) -> None:
    """Whoever they are: they would collide while the thumbnail is being generated."""
    cloudreve.open.clear()
    tasks = [asyncio.create_task(resolved(resolver, who, SHARED)) for who in (ALICE, BOB, NOBODY)]
    await some_steps()
    assert len(cloudreve.calls) == 1
    cloudreve.open.set()
    assert await asyncio.gather(*tasks) == [GRANT] * 3
    assert len(cloudreve.calls) == 3


async def test_once_it_is_generated_nobody_waits_for_anybody(resolver: Resolver, cloudreve: FakeCloudreve) -> None:
    """Those who waited go together, and so do all who come later."""
    await resolved(resolver, ALICE, SHARED)
    assert await together(resolver, cloudreve, (BOB, SHARED), (NOBODY, SHARED)) == 2


async def test_two_files_do_not_wait_for_one_another(resolver: Resolver, cloudreve: FakeCloudreve) -> None:
    assert await together(resolver, cloudreve, (ALICE, SHARED), (ALICE, OTHER)) == 2


async def test_my_files_are_not_yours(resolver: Resolver, cloudreve: FakeCloudreve) -> None:
    assert await together(resolver, cloudreve, (ALICE, MINE), (BOB, MINE)) == 2


async def test_no_more_than_the_slots_are_at_cloudreve(resolver: Resolver, cloudreve: FakeCloudreve) -> None:
    files = [ThumbRequest(FileUri(f"cloudreve://my/{n}.png", "my"), client=f"{n}") for n in range(5)]
    assert await together(resolver, cloudreve, *((NOBODY, file) for file in files)) == 2


async def test_a_refusal_opens_the_way_for_the_next_alone(resolver: Resolver, cloudreve: FakeCloudreve) -> None:
    cloudreve.answers.extend([REFUSAL, REFUSAL, GRANT, GRANT])
    outcomes = await asyncio.gather(*(resolved(resolver, who, SHARED) for who in (ALICE, BOB, NOBODY)))
    assert outcomes == [REFUSAL, REFUSAL, GRANT]
    assert cloudreve.peak == 1


async def test_a_failure_opens_the_way_for_the_next(resolver: Resolver, cloudreve: FakeCloudreve) -> None:
    cloudreve.answers.extend([Unreachable(), GRANT])
    outcomes = await asyncio.gather(*(resolved(resolver, who, SHARED) for who in (ALICE, BOB)), return_exceptions=True)
    assert isinstance(outcomes[0], Unreachable)
    assert outcomes[1] == GRANT


async def test_a_visitor_who_leaves_the_queue_blocks_nobody(resolver: Resolver, cloudreve: FakeCloudreve) -> None:
    cloudreve.open.clear()
    tasks = [asyncio.create_task(resolved(resolver, who, SHARED)) for who in (ALICE, BOB, NOBODY)]
    await some_steps()
    tasks[1].cancel()
    tasks[0].cancel()
    cloudreve.open.set()
    assert await tasks[2] == GRANT


async def test_a_thumbnail_that_is_being_generated_is_asked_for_again(
    resolver: Resolver, cloudreve: FakeCloudreve, pauses: list[float]
) -> None:
    cloudreve.answers.extend([GENERATING] * 8)
    assert await resolved(resolver, ALICE, MINE) == GRANT
    assert len(cloudreve.calls) == 9
    assert 0.05 <= pauses[0] <= 0.1
    assert 0.5 <= pauses[-1] <= 1.0


async def test_until_the_deadline(cloudreve: FakeCloudreve, pauses: list[float]) -> None:
    """Then it is said that it still is; no pause begins that would end too late."""
    cloudreve.answers.extend([GENERATING] * 3)
    resolver = Resolver(cloudreve, LocalSingleflight(), FairQueue(2, 5), 0.04)
    assert await resolved(resolver, ALICE, MINE) == GENERATING
    assert len(cloudreve.calls) == 1


async def test_a_resolve_that_pauses_leaves_its_slot_to_others(cloudreve: FakeCloudreve) -> None:
    """Waiting for somebody else's work is no work."""
    pausing, enough = asyncio.Event(), asyncio.Event()

    async def pause(_: float) -> None:
        pausing.set()
        await enough.wait()

    resolver = Resolver(cloudreve, LocalSingleflight(), FairQueue(1, 5), 30.0, pause)
    cloudreve.answers.append(GENERATING)
    slow = asyncio.create_task(resolved(resolver, ALICE, MINE))
    await pausing.wait()
    assert await resolved(resolver, BOB, MINE) == GRANT
    enough.set()
    assert await slow == GRANT


async def test_one_visitor_s_wishes_are_bounded(resolver: Resolver, cloudreve: FakeCloudreve) -> None:
    """By account where there is one, by address otherwise."""
    cloudreve.open.clear()
    files = [ThumbRequest(FileUri(f"cloudreve://my/{n}.png", "my"), client="192.0.2.1") for n in range(6)]
    tasks = [asyncio.create_task(resolved(resolver, ALICE, file)) for file in files]
    await some_steps()
    with pytest.raises(Busy):
        tasks[5].result()
    others = [asyncio.create_task(resolved(resolver, who, files[0])) for who in (BOB, NOBODY)]
    cloudreve.open.set()
    assert await asyncio.gather(*tasks[:5], *others) == [GRANT] * 7


async def test_a_file_that_a_visitor_wants_too_is_not_behind_all_that_another_wants(
    resolver: Resolver, cloudreve: FakeCloudreve
) -> None:
    """Whether it is the same identity, and joins the flight, or another, and waits for its turn."""
    cloudreve.open.clear()
    files = [ThumbRequest(FileUri(f"cloudreve://AEUa@share/{n}.png", "share"), client="192.0.2.1") for n in range(5)]
    greedy = [asyncio.create_task(resolved(resolver, NOBODY, file)) for file in files]
    await some_steps()
    done: list[str] = []
    greedy[4].add_done_callback(lambda _: done.append("wanted"))
    for task in greedy[2:4]:
        task.add_done_callback(lambda _: done.append("other"))
    modest = asyncio.create_task(resolved(resolver, BOB, files[4]))
    await some_steps()
    cloudreve.open.set()
    assert await modest == GRANT
    await asyncio.gather(*greedy)
    assert done.index("wanted") <= 1


async def test_turns_that_nobody_needs_any_more_are_forgotten(resolver: Resolver, cloudreve: FakeCloudreve) -> None:
    """Visitors may ask for any number of files that are not there."""
    cloudreve.answers.extend([REFUSAL] * 50)
    for number in range(50):
        await resolved(resolver, NOBODY, ThumbRequest(FileUri(f"cloudreve://AEUa@share/{number}", "share")))
    gc.collect()
    assert len(vars(resolver)["_turns"]) == 0
    assert len(vars(vars(resolver)["_generated"])["_named"]) == 0


@pytest.mark.parametrize("code", [40004, 50004])
async def test_a_thumbnail_that_cannot_be_stored_is_asked_for_a_few_times_and_then_left_alone(
    resolver: Resolver, cloudreve: FakeCloudreve, pauses: list[float], code: int
) -> None:
    """Each time generates it anew; within the seconds after that nobody asks, by whichever identity."""
    cloudreve.answers.extend([Generating(code)] * 100)
    assert await resolved(resolver, ALICE, SHARED) == Generating(code)
    assert len(cloudreve.calls) == UPLOADS
    assert all(later > earlier for earlier, later in pairwise(pauses))
    assert 3 < sum(pauses) < 8
    assert await resolved(resolver, BOB, SHARED) == Generating(code)
    assert len(cloudreve.calls) == UPLOADS


async def test_a_lost_race_at_storage_is_asked_again(resolver: Resolver, cloudreve: FakeCloudreve) -> None:
    """Failed uploads between lock conflicts are another call's success."""
    cloudreve.answers.extend(Generating(code) for code in (*(40004,) * 4, 40073, *(50004,) * 4))
    assert await resolved(resolver, ALICE, SHARED) == GRANT
    assert len(cloudreve.calls) == 10
