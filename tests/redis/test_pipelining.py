"""Batches: what is asked in one tick goes together, and nobody pays for anybody else's trouble."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from proxy.domain.picture import Picture
from proxy.redis import pipelining
from proxy.redis.client import SPARE_CONNECTIONS
from proxy.redis.failures import RedisFailure
from proxy.redis.pipelining import (
    LARGEST_BATCH,
    MOST_EXTENSIONS,
    NOTHING,
    Command,
    CommandBatches,
    Item,
    Read,
    Script,
    requests_of,
)
from tests.cache.conftest import MakeTier
from tests.harness.loops import some_steps
from tests.harness.redis_server import RedisServer
from tests.harness.relay import Relay

TIMEOUT_S = 0.1
LANES = 2


class Way:
    """Takes batches, and brings their replies when the test says so."""

    def __init__(self, timeout_s: float) -> None:
        self.sent: list[list[Item]] = []
        self.late: list[bool] = []
        """For each batch that was late, whether it had been sent."""
        self._open: list[asyncio.Event] = []
        self.batches = CommandBatches(self._send, LANES, timeout_s, self._note_late)

    def _send(self, items: list[Item]) -> asyncio.Task[None]:
        self.sent.append(items)
        self._open.append(asyncio.Event())
        return asyncio.get_running_loop().create_task(self._carry(items, self._open[-1]))

    async def _carry(self, items: list[Item], opened: asyncio.Event) -> None:
        await opened.wait()
        for item in items:
            item.deliver(item.words[1])

    def _note_late(self, task: asyncio.Future[Any] | None) -> None:
        self.late.append(task is not None)

    def bring(self, batch: int) -> None:
        """Let the replies to a batch come."""
        self._open[batch].set()

    async def bring_all(self) -> None:
        """Let all replies come, those to batches that are still to be sent included."""
        while not all(opened.is_set() for opened in self._open):
            for opened in self._open:
                opened.set()
            await some_steps()

    @property
    def words(self) -> list[list[Any]]:
        """List what has been asked, batch by batch."""
        return [[item.words[1] for item in batch] for batch in self.sent]

    def ask(self, *words: str) -> list[Command]:
        """Ask for several things at once."""
        return [self.batches.add(Command(("GET", word))) for word in words]


@pytest.fixture
async def way() -> Way:
    """Give a way of two lanes, whose users are patient."""
    return Way(60.0)


@pytest.fixture
async def impatient() -> Way:
    return Way(TIMEOUT_S)


async def test_commands_of_one_tick_go_together(way: Way) -> None:
    """And what is asked in the next goes by itself, while there is a lane."""
    first = way.ask("a", "b", "c")
    await some_steps()
    second = way.ask("d")
    await some_steps()
    assert way.words == [["a", "b", "c"], ["d"]]
    await way.bring_all()
    assert [await item.outcome() for item in first + second] == ["a", "b", "c", "d"]


async def test_while_all_lanes_are_busy_the_next_batch_grows(way: Way) -> None:
    for word in "abcdef":
        way.ask(word)
        await some_steps()
    assert way.words == [["a"], ["b"]]
    way.bring(1)
    await some_steps()
    assert way.words == [["a"], ["b"], ["c", "d", "e", "f"]]
    await way.bring_all()


async def test_a_batch_is_bounded(way: Way) -> None:
    items = way.ask(*(f"{number}" for number in range(2 * LARGEST_BATCH + 1)))
    await some_steps()
    assert [len(batch) for batch in way.words] == [LARGEST_BATCH, LARGEST_BATCH]
    await way.bring_all()
    assert [len(batch) for batch in way.words] == [LARGEST_BATCH, LARGEST_BATCH, 1]
    assert [await item.outcome() for item in items] == [f"{number}" for number in range(2 * LARGEST_BATCH + 1)]


async def test_nobody_waits_for_longer_than_the_time_out(impatient: Way) -> None:
    """For a reply, or for a lane; it is told of once per batch, and a reply that still comes disturbs nobody."""
    hanging = [*impatient.ask("a"), *impatient.ask("b")]
    await some_steps()
    more = impatient.ask("c")
    await some_steps()
    stuck = impatient.ask("d", "e")
    assert [await item.outcome() for item in [*hanging, *more, *stuck]] == [NOTHING] * 5
    await impatient.bring_all()
    assert impatient.words == [["a", "b"], ["c"]], "nobody waited for the others any more"
    assert impatient.late == [True, True, False]
    again = impatient.ask("f")
    await some_steps()
    await impatient.bring_all()
    assert await again[0].outcome() == "f"


async def test_a_process_that_stood_still_looks_again_before_it_gives_up(impatient: Way) -> None:
    """The reply may have come meanwhile; several times, but not for ever."""
    [item] = impatient.ask("a")
    await some_steps()
    [first] = impatient.sent
    time.sleep(2 * TIMEOUT_S)  # noqa: ASYNC251 - nobody runs meanwhile
    await asyncio.sleep(0)
    impatient.bring(0)
    assert await item.outcome() == "a"
    [item] = impatient.ask("b")
    for _ in range(MOST_EXTENSIONS):
        await some_steps()
        assert not item.reply.done()
        time.sleep(2 * TIMEOUT_S)  # noqa: ASYNC251 - as above
    assert await item.outcome() is NOTHING
    assert impatient.late == [True]
    assert isinstance(first[0], Command)
    assert first[0].reply.result() == "a"
    await impatient.bring_all()


async def test_a_caller_who_leaves_costs_no_command_and_no_other_caller(way: Way) -> None:
    items = way.ask("a", "b", "c")
    waits = [asyncio.create_task(item.outcome()) for item in items]
    items[0].reply.cancel()
    await some_steps()
    assert way.words == [["b", "c"]]
    waits[1].cancel()
    await some_steps()
    await way.bring_all()
    assert await waits[2] == "c"
    assert waits[0].cancelled()
    assert waits[1].cancelled()


async def test_a_batch_that_nobody_wants_any_more_is_not_sent(way: Way) -> None:
    for item in way.ask("a", "b"):
        item.reply.cancel()
    [batch] = vars(way.batches)["_gathered"]
    await some_steps()
    assert batch.timer.cancelled()
    assert (way.sent, way.late) == ([], [])


async def test_a_command_without_a_reader_goes_with_the_next_that_has_one(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write for itself would cost more than all the rest about it."""
    monkeypatch.setattr(pipelining, "LINGER_S", 60.0)
    way.batches.add(Command(("SET", "a")), is_urgent=False)
    await some_steps()
    assert way.sent == []
    way.ask("b")
    await some_steps()
    assert way.words == [["a", "b"]]
    await way.bring_all()


async def test_a_command_without_a_reader_does_not_wait_for_long(way: Way) -> None:
    way.batches.add(Command(("SET", "a")), is_urgent=False)
    way.batches.add(Command(("SET", "b")), is_urgent=False)
    while not way.sent:  # noqa: ASYNC110 - a timer sends it
        await asyncio.sleep(0)
    assert way.words == [["a", "b"]]
    await way.bring_all()


async def test_flushing_waits_for_nothing(way: Way) -> None:
    way.batches.add(Command(("SET", "a")), is_urgent=False)
    way.batches.flush()
    assert way.words == [["a"]]
    await way.bring_all()


async def test_a_reply_that_its_caller_did_not_wait_for_is_handed_on(impatient: Way) -> None:
    """Whether it gave up, or was cancelled, at whatever step; one that has never been sent has no reply."""
    unheard: list[str] = []

    def item(word: str) -> Command:
        return impatient.batches.add(Command(("EVAL", word), unheard.append))

    late, cancelled, never = item("late"), item("cancelled"), item("never")
    assert impatient.sent == []
    never.reply.cancel()
    await some_steps()
    waits = asyncio.create_task(cancelled.outcome())
    await some_steps()
    waits.cancel()
    assert await late.outcome() is NOTHING
    impatient.bring(0)
    await some_steps()
    assert sorted(unheard) == ["cancelled", "late"]
    heard = item("in the very step")
    waiting = asyncio.create_task(heard.outcome())
    await some_steps()
    heard.deliver("in the very step")
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert unheard[2:] == ["in the very step"]
    await impatient.bring_all()


async def test_reads_become_one_command_and_each_key_is_named_once() -> None:
    """However many want it; other commands stand before them, as they came."""
    items = [Command(words) for words in (("GET", "a"), ("SET", "b", "x"), ("GET", "c"), ("GET", "a"))]
    requests = requests_of(items, is_shard=False)
    assert [request.words for request in requests] == [("SET", "b", "x"), ("MGET", "a", "c")]
    requests[1].receive([b"1", None])
    assert [item.reply.result() for item in items if item.reply.done()] == [b"1", None, b"1"]
    assert [request.words for request in requests_of(items, is_shard=True)] == [
        ("SET", "b", "x"),
        ("MGET", "a"),
        ("MGET", "c"),
    ]


async def test_values_are_handed_over_without_a_task(impatient: Way) -> None:
    """Once, and None for each where there is no reply; nobody waits for longer than the time out."""
    heard: list[Sequence[bytes | None]] = []
    read = Read(["a", "b"], heard.append)
    [request] = requests_of([read], is_shard=False)
    assert request.words == ("MGET", "a", "b")
    request.receive([b"1", None])
    request.receive([b"2", b"3"])
    for reply in (None, NOTHING, ValueError("theirs")):
        Read(["c", "d"], heard.append).deliver(reply)
    assert heard == [[b"1", None], *[[None, None]] * 3]
    late: asyncio.Future[Sequence[bytes | None]] = asyncio.get_running_loop().create_future()
    impatient.batches.add(Read(["e"], late.set_result))
    assert await late == [None]
    assert (impatient.words, impatient.late) == ([["e"]], [True])
    await impatient.bring_all()


async def test_calls_of_a_script_become_one_and_overtake_no_write() -> None:
    """Each call has its own reply, and an error is its own caller's alone."""
    one, other = Script("return 1", keys=1), Script("return 2", keys=2)
    lines = (one, "a", "x"), (other, "b", "c", "y"), (one, "d", "z"), ("SET", "a", "v"), (one, "a", "w")
    items = [Command(words) for words in lines]
    requests = requests_of(items, is_shard=False)
    assert [request.words for request in requests] == [
        ("EVAL", "return 1", 2, "a", "d", "x", "z"),
        ("EVAL", "return 2", 2, "b", "c", "y"),
        ("SET", "a", "v"),
        ("EVAL", "return 1", 1, "a", "w"),
    ]
    requests[0].receive([b"a's", ValueError("d's")])
    assert (await items[0].outcome(), await items[2].outcome()) == (b"a's", NOTHING)
    assert [request.words[2] for request in requests_of(items, is_shard=True)] == [1, 2, 1, "v", 1]


async def calls(server: RedisServer) -> dict[str, int]:
    """Count the commands that the server has run since the last count."""
    stats = await asyncio.to_thread(server.command, "INFO", "commandstats")
    await asyncio.to_thread(server.command, "CONFIG", "RESETSTAT")
    assert isinstance(stats, dict)
    return {name.removeprefix("cmdstat_"): value["calls"] for name, value in stats.items()}


async def test_forty_finds_of_one_tick_are_one_command(make_tier: MakeTier, redis_server: RedisServer) -> None:
    tier = make_tier(redis_server.url, timeout_s=10.0).tier
    pictures = [Picture(f"{n}", "image/png", "", bytes([n]) * 20_000) for n in range(20)]
    await calls(redis_server)
    await asyncio.gather(*(tier.set(f"p:{picture.id}", picture, 60.0) for picture in pictures))
    assert (await calls(redis_server))["set"] == 20
    found = await asyncio.gather(*(tier.get(f"p:{n}") for n in range(40)))
    assert found == [*pictures, *[None] * 20]
    assert (await calls(redis_server))["mget"] == 1


async def test_an_error_is_its_own_caller_s_alone(make_tier: MakeTier, redis_server: RedisServer) -> None:
    watched = make_tier(redis_server.url, timeout_s=10.0)
    lines = watched.tier.connections
    redis_server.command("SET", "text", "x")
    replies = await asyncio.gather(
        lines.ask(False, "a", "SET", "a", "1"),
        lines.ask("fallback", "text", "PEXPIREAT", "text", "no number"),
        lines.ask("fallback", "text", "NO-SUCH-COMMAND"),
        lines.read("text"),
        lines.ask(-1, "a", "EXISTS", "a"),
    )
    assert list[object](replies) == [b"OK", "fallback", "fallback", b"x", 1]
    assert watched.troubles == [RedisFailure.REFUSED] * 2
    assert watched.tier.is_up


async def test_a_connection_that_breaks_is_the_trouble_of_one_batch_once(
    make_tier: MakeTier, redis_server: RedisServer
) -> None:
    async with Relay(redis_server.port) as relay:
        watched = make_tier(f"redis://127.0.0.1:{relay.port}", timeout_s=10.0, max_connections=1 + SPARE_CONNECTIONS)
        await watched.tier.ping()
        relay.hold()
        asked = asyncio.gather(*(watched.tier.get(f"p:{n}") for n in range(5)), watched.tier.exists("g:1"))
        await relay.holds()
        relay.cut()
        assert await asked == [None] * 5 + [False]
        assert watched.troubles == [RedisFailure.UNREACHABLE]
        await watched.tier.aclose()
