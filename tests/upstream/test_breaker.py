"""The breaker: what counts as an outage, what only looks like one, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from proxy.domain.errors import ProxyError, TooSlow, Unreachable, UpstreamError
from proxy.upstream import breaker as module
from proxy.upstream.breaker import TRIPPED_BY, UNHEARD_PINGS, UpstreamBreaker
from tests.harness.gateways import until
from tests.harness.loops import some_steps

INTERVAL_S = 0.0
"""It looks in every step of the loop, so that steps are all that has to pass."""


class Cloudreve:
    """Answers pings, or does not."""

    def __init__(self) -> None:
        self.pings = 0
        self.trouble: Exception | None = None
        self.pinged = asyncio.Event()

    async def ping(self) -> None:
        """Answer as it is told to."""
        self.pings += 1
        self.pinged.set()
        if self.trouble is not None:
            raise self.trouble

    async def next_pings(self, count: int = 1) -> None:
        """Wait until it has been pinged so many more times, and what follows from that has been drawn."""
        for _ in range(count):
            self.pinged.clear()
            await self.pinged.wait()
        await asyncio.sleep(0)


@pytest.fixture
def cloudreve() -> Cloudreve:
    return Cloudreve()


@pytest.fixture
def breaker(cloudreve: Cloudreve) -> UpstreamBreaker:
    """Give a breaker that nobody has started to watch."""
    return UpstreamBreaker(cloudreve.ping, INTERVAL_S)


@pytest.fixture
async def watched(breaker: UpstreamBreaker) -> AsyncIterator[UpstreamBreaker]:
    watching = asyncio.create_task(breaker.watch())
    yield breaker
    assert not watching.done()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def fail(breaker: UpstreamBreaker, error: ProxyError, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(type(error)), breaker.call():
            raise error


async def test_failures_in_a_row_open_it(breaker: UpstreamBreaker) -> None:
    """Then every call is refused at once, without being made."""
    fail(breaker, Unreachable(), TRIPPED_BY - 1)
    assert not breaker.is_open
    fail(breaker, Unreachable())
    assert breaker.is_open
    made = False
    with pytest.raises(Unreachable) as caught, breaker.call():
        made = True
    assert not made
    assert caught.value.retry_after_s
    with pytest.raises(Unreachable):
        breaker.check()


@pytest.mark.parametrize("answer", [None, UpstreamError("garbage")])
async def test_any_answer_between_them_says_that_it_is_up(breaker: UpstreamBreaker, answer: ProxyError | None) -> None:
    """A bad one too: whoever answers rubbish is not away."""
    for _ in range(3):
        fail(breaker, Unreachable(), TRIPPED_BY - 1)
        if answer is None:
            with breaker.call():
                pass
        else:
            fail(breaker, answer)
    assert not breaker.is_open


@pytest.mark.parametrize("error", [UpstreamError("garbage"), TooSlow("a big picture")])
async def test_neither_garbage_nor_slowness_opens_it(breaker: UpstreamBreaker, error: ProxyError) -> None:
    """A thumbnail may take five minutes (docs/cloudreve.md, Generating), and three may run out of time together."""
    fail(breaker, error, 10 * TRIPPED_BY)
    assert not breaker.is_open


async def test_a_caller_who_leaves_counts_for_nothing(breaker: UpstreamBreaker) -> None:
    for _ in range(TRIPPED_BY):
        with pytest.raises(asyncio.CancelledError), breaker.call():
            raise asyncio.CancelledError
    assert not breaker.is_open


async def test_while_all_is_well_nobody_is_pinged(watched: UpstreamBreaker, cloudreve: Cloudreve) -> None:
    with watched.call():
        await some_steps()
    assert cloudreve.pings == 0


async def test_one_failure_is_looked_into(watched: UpstreamBreaker, cloudreve: Cloudreve) -> None:
    fail(watched, Unreachable())
    await cloudreve.next_pings()
    fail(watched, Unreachable(), TRIPPED_BY - 1)
    assert not watched.is_open


async def test_one_failure_and_a_ping_that_fails_open_it(watched: UpstreamBreaker, cloudreve: Cloudreve) -> None:
    """Before two more visitors have had to find out."""
    cloudreve.trouble = Unreachable()
    fail(watched, Unreachable())
    await until(lambda: watched.is_open)
    assert cloudreve.pings == UNHEARD_PINGS - 1


async def test_a_long_call_with_healthy_pings_does_not_open_it(
    watched: UpstreamBreaker, cloudreve: Cloudreve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow generation: it is watched closely, and left alone."""
    monkeypatch.setattr(module, "SUSPICIOUS_S", 0.0)
    with watched.call():
        await cloudreve.next_pings(5)
        assert not watched.is_open
    pings = cloudreve.pings
    await some_steps()
    assert cloudreve.pings - pings <= 1


async def test_a_long_call_while_pings_fail_opens_it(
    watched: UpstreamBreaker, cloudreve: Cloudreve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cloudreve hangs: it accepts connections and answers nothing. Who waits goes on waiting, nobody else does."""
    monkeypatch.setattr(module, "SUSPICIOUS_S", 0.0)
    cloudreve.trouble = TooSlow()
    with watched.call():
        await until(lambda: watched.is_open)
        assert cloudreve.pings == UNHEARD_PINGS
        with pytest.raises(Unreachable):
            watched.check()
    assert watched.is_open, "a late answer, from before, says nothing"


async def test_one_lost_ping_is_not_an_outage(
    watched: UpstreamBreaker, cloudreve: Cloudreve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUSPICIOUS_S", 0.0)
    with watched.call():
        for _ in range(3):
            cloudreve.trouble = TooSlow()
            await cloudreve.next_pings(UNHEARD_PINGS - 1)
            cloudreve.trouble = None
            await cloudreve.next_pings()
    assert not watched.is_open


async def test_a_time_out_that_is_shorter_than_suspicion_is_looked_into(
    watched: UpstreamBreaker, cloudreve: Cloudreve
) -> None:
    """Settings may allow a call less time than it takes to become suspicious."""
    cloudreve.trouble = TooSlow()
    fail(watched, TooSlow())
    await until(lambda: watched.is_open)


async def test_only_a_ping_closes_it(watched: UpstreamBreaker, cloudreve: Cloudreve) -> None:
    """No visitor is sent ahead; the one call that is made while it is open is the ping."""
    cloudreve.trouble = Unreachable()
    fail(watched, Unreachable(), TRIPPED_BY)
    await cloudreve.next_pings(5)
    with pytest.raises(Unreachable):
        watched.check()
    cloudreve.trouble = None
    await until(lambda: not watched.is_open)
    with watched.call():
        pass


async def test_flapping_is_followed(watched: UpstreamBreaker, cloudreve: Cloudreve) -> None:
    """Down and up again and again: each time it opens by failures alone and closes by a ping."""
    for _ in range(5):
        cloudreve.trouble = Unreachable()
        fail(watched, Unreachable(), TRIPPED_BY)
        assert watched.is_open
        cloudreve.trouble = None
        await until(lambda: not watched.is_open)


@pytest.mark.parametrize("surprise", [RuntimeError("a library's surprise"), ValueError(), OSError()])
async def test_nothing_ends_the_watch(watched: UpstreamBreaker, cloudreve: Cloudreve, surprise: Exception) -> None:
    """An open breaker that nobody watches would stay open."""
    cloudreve.trouble = surprise
    fail(watched, Unreachable(), TRIPPED_BY)
    await cloudreve.next_pings(3)
    assert watched.is_open
    cloudreve.trouble = None
    await until(lambda: not watched.is_open)


async def test_a_ping_that_hangs_ends_with_the_watch(cloudreve: Cloudreve) -> None:

    async def hang() -> None:
        await cloudreve.ping()
        await asyncio.Event().wait()

    breaker: UpstreamBreaker = UpstreamBreaker(hang, INTERVAL_S)
    fail(breaker, Unreachable(), TRIPPED_BY)
    watching = asyncio.create_task(breaker.watch())
    await cloudreve.next_pings()
    watching.cancel()
    await asyncio.wait({watching})
    assert watching.cancelled()
