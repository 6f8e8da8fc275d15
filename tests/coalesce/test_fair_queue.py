"""Turns: slots are neither lost nor exceeded, and who wants one thing does not wait for who wants ten thousand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.coalesce.fair_queue import FairQueue
from proxy.domain.client import BACKGROUND
from proxy.domain.errors import Busy
from tests.harness.loops import some_steps

GREEDY, MODEST = "192.0.2.1", "192.0.2.2"
LEFTOVERS = ("_admitted", "_jobs", "_queues", "_working", "_taken")
TAKEN = ("_holding", "_busy", "_slow", "_groups", "_slow_groups")


class QueuedJobs:
    """Where work is done: it begins when its turn comes, and ends when the test says so."""

    def __init__(self, slots: int, bound: int = 10_000, places: int | None = None) -> None:
        self.limit = FairQueue(slots, bound, places)
        self.slots = slots
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def working(self) -> list[str]:
        """List what is at work now."""
        return [name for name in self.begun if not self._ends[name].is_set() and not self.tasks[name].done()]

    @property
    def waiting(self) -> list[str]:
        """List what waits for its turn."""
        return [name for name, task in self.tasks.items() if name not in self.begun and not task.done()]

    def want(self, client: str, name: str) -> asyncio.Task[None]:
        """Begin to want something."""

        async def work() -> None:
            with self.limit.admitted(client, name):
                async with self.limit.slot(name):
                    self.begun.append(name)
                    await self._ends[name].wait()

        self._ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(work())
        return self.tasks[name]

    def end(self, name: str) -> None:
        """Let work end."""
        self._ends[name].set()

    async def end_first(self, times: int = 1) -> None:
        """Let what has been at work for longest end, so many times."""
        for _ in range(times):
            self.end(self.working[0])
            await some_steps()

    async def close(self) -> None:
        """End everything; nothing may be left over."""
        for name, task in self.tasks.items():
            self.end(name)
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        assert self.is_empty()

    def is_empty(self) -> bool:
        """Tell whether the limit remembers nobody, and has all of its slots."""
        inside = vars(self.limit)
        slots = vars(inside["_slots"])
        return not any(inside[name] for name in LEFTOVERS) and not any(slots[name] for name in TAKEN)


async def test_no_more_than_the_slots_work_at_once() -> None:
    queued = QueuedJobs(slots=2)
    for name in "abcd":
        queued.want(GREEDY, name)
    await some_steps()
    assert queued.working == ["a", "b"]
    queued.end("b")
    await some_steps()
    assert queued.working == ["a", "c"]
    await queued.close()


async def test_ten_thousand_wishes_of_one_delay_the_single_one_of_another_by_one() -> None:
    """The modest client is next as soon as any slot is free."""
    queued = QueuedJobs(slots=7)
    for number in range(10_000):
        queued.want(GREEDY, f"greedy {number}")
    await some_steps()
    queued.want(MODEST, "modest")
    await some_steps()
    assert len(queued.begun) == 7
    await queued.end_first(2)
    assert queued.begun[7:] == ["greedy 7", "modest"] or queued.begun[7] == "modest"
    await queued.close()


async def test_work_of_one_that_never_ends_leaves_a_slot_to_others() -> None:
    """Another begins at once, and what the greedy one gets back is its own slots only."""
    queued = QueuedJobs(slots=8)
    for number in range(20):
        queued.want(GREEDY, f"greedy {number}")
    await some_steps()
    for name in ("modest", "more"):
        queued.want(MODEST, name)
        await some_steps()
        assert queued.working == [*(f"greedy {number}" for number in range(7)), name]
        queued.end(name)
        await some_steps()
    queued.end("greedy 0")
    await some_steps()
    assert queued.working == [f"greedy {number}" for number in range(1, 8)]
    await queued.close()


async def test_a_job_that_a_second_client_wants_begins_in_the_reserved_slot() -> None:
    queued = QueuedJobs(slots=8)
    for number in range(20):
        queued.want(GREEDY, f"{number}")
    await some_steps()
    queued.limit.hurry(MODEST, "15")
    await some_steps()
    assert queued.working == [*"0123456", "15"]
    await queued.close()


async def test_clients_take_turns() -> None:
    queued = QueuedJobs(slots=1)
    for client in "abc":
        for number in range(4 if client == "a" else 2):
            queued.want(client, f"{client}{number}")
    await some_steps()
    await queued.end_first(7)
    assert queued.begun == ["a0", "a1", "b0", "c0", "a2", "b1", "c1", "a3"]
    await queued.close()


async def test_work_for_no_visitor_waits_behind_all_visitors() -> None:
    """Though it has come first, and its turn would be next."""
    queued = QueuedJobs(2)
    queued.want(GREEDY, "under way")
    queued.want(MODEST, "another")
    for number in range(3):
        queued.want(BACKGROUND, f"background {number}")
    for number in range(2):
        queued.want(GREEDY, f"greedy {number}")
        queued.want(MODEST, f"modest {number}")
    await some_steps()
    await queued.end_first(7)
    assert queued.begun[2:6] == ["greedy 0", "modest 0", "greedy 1", "modest 1"]
    assert queued.begun[6:] == ["background 0", "background 1", "background 2"]
    await queued.close()


async def test_one_client_does_not_fill_the_house() -> None:
    """Beyond its bound it is told so at once, and others are let in."""
    queued = QueuedJobs(slots=1, bound=3)
    wishes = [queued.want(GREEDY, f"{number}") for number in range(5)]
    modest = queued.want(MODEST, "modest")
    await some_steps()
    assert [isinstance(wish.exception(), Busy) for wish in wishes if wish.done()] == [True, True]
    assert not modest.done()
    await queued.end_first()
    queued.want(GREEDY, "again")
    await some_steps()
    assert not queued.tasks["again"].done(), "what has ended no longer counts"
    await queued.close()


async def full_house(places: int = 6) -> QueuedJobs:
    """Let three clients take all places: one slot, and the rest wait."""
    queued = QueuedJobs(slots=1, places=places)
    for number in range(places - 2):
        queued.want(GREEDY, f"greedy {number}")
    for client in ("other", "third"):
        queued.want(client, client)
    await some_steps()
    return queued


async def test_a_newcomer_finds_a_place_when_all_are_taken() -> None:
    """The client with the most places loses its youngest, and is told so; nobody else notices."""
    queued = await full_house()
    modest = queued.want(MODEST, "modest")
    await some_steps()
    assert isinstance(queued.tasks["greedy 3"].exception(), Busy)
    assert {name for name, task in queued.tasks.items() if task.done()} == {"greedy 3"}
    await queued.end_first(4)
    assert set(queued.begun) == {"greedy 0", "greedy 1", "other", "third", "modest"}
    assert not modest.cancelled()
    await queued.close()


async def test_a_client_takes_no_place_from_one_that_has_no_more() -> None:
    """Three newcomers bring the greedy one down to one place, as all others have."""
    queued = await full_house()
    for name in "abc":
        queued.want(name, name)
        await some_steps()
        assert not queued.tasks[name].done()
    for client in ("d", GREEDY, "a"):
        refused = queued.want(client, f"{client} again")
        await some_steps()
        assert isinstance(refused.exception(), Busy)
    await queued.close()


async def test_work_under_way_and_what_others_want_too_keep_their_places() -> None:
    """Cloudreve may keep a file locked whose generation was given up."""
    queued = await full_house()
    queued.limit.hurry("other", "greedy 3")
    queued.limit.hurry("other", "greedy 2")
    queued.want("a", "a")
    await some_steps()
    assert {name for name, task in queued.tasks.items() if task.done()} == {"greedy 1"}
    refused = queued.want("b", "b")
    await some_steps()
    assert isinstance(refused.exception(), Busy)
    assert queued.working == ["greedy 0"]
    await queued.close()


async def test_work_that_is_ended_from_outside_as_well_is_cancelled() -> None:
    queued = await full_house()
    queued.want(MODEST, "modest")
    await asyncio.sleep(0)
    queued.tasks["greedy 3"].cancel()
    await some_steps()
    assert queued.tasks["greedy 3"].cancelled()
    await queued.close()


async def test_a_job_that_a_second_client_wants_has_that_client_s_turn() -> None:
    """A gallery that a crawler walks through is no slower for a visitor: their picture is not behind all others."""
    queued = QueuedJobs(slots=1)
    for number in range(1000):
        queued.want(GREEDY, f"{number}")
    await some_steps()
    queued.limit.hurry(MODEST, "777")
    await queued.end_first(2)
    assert queued.begun == ["0", "1", "777"]
    await queued.end_first(997)
    assert sorted(queued.begun, key=int) == [f"{number}" for number in range(1000)], "each once"
    await queued.close()


async def test_a_job_may_be_wanted_before_it_queues_up() -> None:
    queued = QueuedJobs(slots=1)
    for number in range(100):
        queued.want(GREEDY, f"{number}")
    with queued.limit.admitted(GREEDY, "late"):
        queued.limit.hurry(MODEST, "late")
        queued.want(GREEDY, "late")
        await some_steps()
        await queued.end_first(2)
        assert queued.begun == ["0", "1", "late"]
    await queued.close()


async def test_hurrying_what_nobody_was_admitted_for_is_nothing() -> None:
    queued = QueuedJobs(slots=1)
    queued.limit.hurry(MODEST, "gone")
    assert queued.is_empty()


async def test_a_turn_that_was_cancelled_in_the_very_step_gets_no_slot() -> None:
    """The task has not run since, so that its turn still stands in the queue."""
    queued = QueuedJobs(slots=1)
    for name in "abc":
        queued.want(GREEDY, name)
    await some_steps()
    queued.tasks["b"].cancel()
    queued.end("a")
    await some_steps()
    assert queued.working == ["c"]
    await queued.close()


async def test_a_slot_that_was_handed_to_a_task_cancelled_meanwhile_is_passed_on() -> None:
    """The other order: first the turn comes, then the cancellation, then the task runs."""
    queued = QueuedJobs(slots=1)
    for name in "abc":
        queued.want(GREEDY, name)
    await some_steps()
    queued.end("a")
    while not queued.tasks["a"].done():  # noqa: ASYNC110 - to the very step
        await asyncio.sleep(0)
    queued.tasks["b"].cancel()
    await some_steps()
    assert queued.working == ["c"]
    await queued.close()


async def test_work_that_fails_gives_its_slot_back() -> None:
    limit = FairQueue(1, 9)
    for _ in range(3):
        with pytest.raises(ValueError, match="x"), limit.admitted(GREEDY, "a"):
            async with limit.slot("a"):
                raise ValueError("x")


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["want", "want", "end", "cancel", "hurry", "step", "end at once", "cancel at once"]),
        st.integers(0, 30),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS, st.integers(1, 3))
def test_in_every_order_of_events_slots_are_neither_lost_nor_exceeded(
    events: list[tuple[str, int]], slots: int
) -> None:
    """Whoever waits does so because all slots are at work, and each wish is served once."""
    asyncio.run(replay(events, slots))


async def replay(events: list[tuple[str, int]], slots: int) -> None:
    queued = QueuedJobs(slots, bound=8)
    acts: dict[str, Callable[[str, int], object]] = {
        "want": lambda _, number: queued.want(f"client {number % 4}", f"wish {len(queued.tasks)}"),
        "end": lambda name, _: queued.end(name),
        "cancel": lambda name, _: queued.tasks[name].cancel(),
        "hurry": lambda name, number: queued.limit.hurry(f"client {number % 3}", name),
        "step": lambda _, __: None,
    }
    for event, number in events:
        names = list(queued.tasks)
        if not names and not event.startswith("want"):
            continue
        acts[event.removesuffix(" at once")](names[number % len(names)] if names else "", number)
        if event == "step":
            await asyncio.sleep(0)
        elif not event.endswith("at once"):
            await some_steps()
            check(queued)
    await some_steps()
    check(queued)
    await queued.close()


def check(queued: QueuedJobs) -> None:
    """See that nothing is amiss while nobody is about to do anything."""
    assert len(queued.working) <= queued.slots
    assert not queued.waiting or len(queued.working) == queued.slots
    assert len(set(queued.begun)) == len(queued.begun)
