"""Flights: one load for all who wait, and nobody's leaving or failing is anybody else's business."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.coalesce.singleflight import Singleflight
from proxy.domain.errors import Busy, UpstreamError
from tests.harness.loops import some_steps


class Load:
    """A load that a test ends when it likes, and that counts how often it was started."""

    def __init__(self) -> None:
        self.started = 0
        self.cleaned_up = 0
        self.ended = asyncio.Event()
        self.outcome: str | BaseException = "picture"

    async def __call__(self) -> str:
        """Wait for the end, then give the outcome."""
        self.started += 1
        try:
            await self.ended.wait()
        finally:
            self.cleaned_up += 1
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.fixture
async def singleflight() -> AsyncIterator[Singleflight[str]]:
    singleflight = Singleflight[str](2)
    yield singleflight
    await singleflight.aclose()


@pytest.fixture
async def complaints() -> AsyncIterator[list[dict[str, Any]]]:
    """Collect what the event loop would tell the log; nothing may be left in the end."""
    found: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    yield found
    gc.collect()
    assert found == []


async def test_many_waiters_cost_one_load(singleflight: Singleflight[str]) -> None:
    """The first starts it, the others are told that they collapsed into it, and all get the very same thing."""
    load = Load()
    joined = [singleflight.join("a", load) for _ in range(100)]
    assert [collapsed for _, collapsed in joined] == [False] + [True] * 99
    load.ended.set()
    outcomes = await asyncio.gather(*(outcome for outcome, _ in joined))
    assert set(outcomes) == {"picture"}
    assert (load.started, len(singleflight)) == (1, 0)


async def test_a_waiter_who_leaves_disturbs_neither_the_load_nor_the_others(singleflight: Singleflight[str]) -> None:
    """Be it the one who started it: the load is nobody's own."""
    load = Load()

    async def wait() -> str:
        return await singleflight.join("a", load)[0]

    waiters = [asyncio.create_task(wait()) for _ in range(3)]
    await some_steps()
    waiters[0].cancel()
    waiters[1].cancel()
    await some_steps()
    assert [waiter.cancelled() for waiter in waiters] == [True, True, False]
    load.ended.set()
    assert await waiters[2] == "picture"
    assert (load.started, load.cleaned_up) == (1, 1)


async def test_a_load_goes_on_when_everybody_has_left(singleflight: Singleflight[str]) -> None:
    """Cloudreve marks a file as having no thumbnail if its generator's caller leaves."""
    load = Load()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await singleflight.join("a", load)[0]
    assert len(singleflight) == 1
    load.ended.set()
    assert await singleflight.join("a", load)[0] == "picture"
    assert load.started == 1


async def test_a_failure_is_shared_by_those_who_wait_and_then_forgotten(singleflight: Singleflight[str]) -> None:
    load, error = Load(), UpstreamError("x")
    load.outcome = error
    waiting = [singleflight.join("a", load)[0] for _ in range(3)]
    load.ended.set()
    assert await asyncio.gather(*waiting, return_exceptions=True) == [error] * 3
    load.outcome = "picture"
    outcome, collapsed = singleflight.join("a", load)
    assert (await outcome, collapsed, load.started) == ("picture", False, 2)


async def test_at_the_bound_one_more_is_busy_and_joining_stays_free(singleflight: Singleflight[str]) -> None:
    """Refused before anything is started; there is room again in the step in which a flight ends."""
    load, refused = Load(), Load()
    first, _ = singleflight.join("a", load)
    singleflight.join("b", load)
    with pytest.raises(Busy):
        singleflight.join("c", refused)
    assert singleflight.join("a", refused)[1]
    load.ended.set()
    await first
    outcome, _ = singleflight.join("c", refused)
    refused.ended.set()
    assert (await outcome, refused.started) == ("picture", 1)


async def test_a_load_that_cannot_even_begin_leaves_no_flight(singleflight: Singleflight[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        singleflight.join("a", lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    assert len(singleflight) == 0


@pytest.mark.parametrize("failing", [False, True])
async def test_a_join_in_the_last_step_of_a_load_gets_its_outcome(
    singleflight: Singleflight[str], failing: bool
) -> None:
    """Forced: the load's last step itself joins; right after that step there is nothing left to join."""
    joined: list[tuple[asyncio.Future[str], bool]] = []
    again = Load()
    again.ended.set()

    async def load() -> str:
        asyncio.get_running_loop().call_soon(lambda: joined.append(singleflight.join("a", again)))
        joined.append(singleflight.join("a", again))
        if failing:
            raise UpstreamError("x")
        return "first"

    first, _ = singleflight.join("a", load)
    await some_steps()
    assert [collapsed for _, collapsed in joined] == [True, False]
    results = await asyncio.gather(first, *(outcome for outcome, _ in joined), return_exceptions=True)
    assert results[0] is results[1]
    assert results[2] == "picture"


@pytest.mark.parametrize("leave", ["abandon", "cancel before", "cancel after"])
async def test_a_failure_that_nobody_awaits_is_no_complaint(
    singleflight: Singleflight[str], complaints: list[dict[str, Any]], leave: str
) -> None:
    """Errors go to visitors; when all have left there is nobody to tell, and the log is not the place."""
    load = Load()
    load.outcome = UpstreamError("x")
    outcome, _ = singleflight.join("a", load)
    if leave == "cancel before":
        outcome.cancel()
    load.ended.set()
    await some_steps()
    assert outcome.done()
    if leave == "cancel after":
        outcome.cancel()


async def test_a_load_that_is_cancelled_from_within_leaves_nobody_waiting(singleflight: Singleflight[str]) -> None:
    load = Load()
    load.outcome = asyncio.CancelledError()
    outcome, _ = singleflight.join("a", load)
    load.ended.set()
    with pytest.raises(asyncio.CancelledError):
        await outcome
    assert len(singleflight) == 0


async def test_closing_ends_every_flight_and_every_wait(complaints: list[dict[str, Any]]) -> None:
    """Those under way, one that has not taken its first step, and one that starts while the others end."""
    singleflight, late = Singleflight[str](9), Load()
    loads = [Load(), Load()]

    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            waiting.append(singleflight.join("late", late)[0])
        return ""

    begun: list[Callable[[], Coroutine[Any, Any, str]]] = [loads[0], stubborn]
    waiting = [singleflight.join(str(number), load)[0] for number, load in enumerate(begun)]
    await some_steps()
    waiting.append(singleflight.join("not begun", loads[1])[0])
    await singleflight.aclose()
    await some_steps()
    assert [outcome.cancelled() for outcome in waiting] == [True] * 4
    assert [load.cleaned_up for load in (*loads, late)] == [1, 1, 1]
    assert len(singleflight) == 0
    await singleflight.aclose()
    assert complaints == []


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["join", "leave", "end", "fail", "step"]), st.integers(0, 2)), max_size=30))
def test_in_every_order_of_events_each_who_stays_gets_the_outcome_of_the_load_that_was_joined(
    events: list[tuple[str, int]],
) -> None:
    """Against a model: at any time at most one load of a key, and who left is the only one with nothing."""
    asyncio.run(replay(events))


async def replay(events: list[tuple[str, int]]) -> None:
    """Play the events, then end everything."""
    singleflight, under_way = Singleflight[str](3), dict[str, Load]()
    numbers, waiting = itertools.count(), list[tuple[asyncio.Future[str], Load]]()
    for event, number in [*events, *(("end", number) for number in range(3))]:
        key = str(number)
        if event == "join":
            load = under_way.get(key, Load())
            outcome, collapsed = singleflight.join(key, load)
            assert collapsed == (key in under_way)
            if not collapsed:
                under_way[key], load.outcome = load, f"{key}, {next(numbers)}"
            waiting.append((outcome, load))
        elif event == "leave" and waiting:
            waiting.pop(number % len(waiting))[0].cancel()
        elif event in ("end", "fail") and key in under_way:
            load = under_way.pop(key)
            load.outcome = UpstreamError(key) if event == "fail" else load.outcome
            load.ended.set()
            await some_steps()
        elif event == "step":
            await asyncio.sleep(0)
    results = await asyncio.gather(*(outcome for outcome, _ in waiting), return_exceptions=True)
    assert results == [load.outcome for _, load in waiting]
    assert len(singleflight) == 0
