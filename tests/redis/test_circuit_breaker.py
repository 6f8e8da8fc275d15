"""The gate: open until tripped, shut for a while, one probe at a time."""

from __future__ import annotations

import pytest

from proxy.redis.circuit_breaker import RedisBreaker, State
from tests.cache.conftest import Clock


@pytest.fixture
def breaker(clock: Clock) -> RedisBreaker:
    """Give a gate that pauses for 5 seconds."""
    return RedisBreaker(5.0, clock)


def test_a_new_breaker_lets_commands_through_and_has_nothing_to_probe(breaker: RedisBreaker) -> None:
    assert breaker.state is State.UP
    assert not breaker.claim_probe()


def test_trouble_shuts_it_once(breaker: RedisBreaker) -> None:
    """Of many commands that fail together the first one shuts it."""
    epoch = breaker.epoch
    assert breaker.trip(epoch)
    assert breaker.state is State.PAUSED
    assert not breaker.trip(epoch)


def test_one_probe_is_due_when_the_pause_is_over(breaker: RedisBreaker, clock: Clock) -> None:
    """One caller claims it, all others miss until it has ended."""
    breaker.trip(breaker.epoch)
    clock.now += 4.9
    assert not breaker.claim_probe()
    clock.now += 0.2
    assert breaker.claim_probe()
    clock.now += 100.0
    assert not breaker.claim_probe()
    assert breaker.state is State.PAUSED


def test_a_probe_that_succeeds_opens_it(breaker: RedisBreaker, clock: Clock) -> None:
    breaker.trip(breaker.epoch)
    clock.now += 5.0
    assert breaker.claim_probe()
    breaker.close()
    assert breaker.state is State.UP
    assert breaker.trip(breaker.epoch)


def test_a_probe_that_fails_begins_another_pause(breaker: RedisBreaker, clock: Clock) -> None:
    breaker.trip(breaker.epoch)
    clock.now += 5.0
    assert breaker.claim_probe()
    breaker.stay_open()
    assert breaker.state is State.PAUSED
    assert not breaker.claim_probe()
    clock.now += 5.0
    assert breaker.claim_probe()


def test_a_command_from_before_the_pause_does_not_shut_it_again(breaker: RedisBreaker, clock: Clock) -> None:
    """It was sent to a Redis that has since gone and come back."""
    before = breaker.epoch
    breaker.trip(before)
    clock.now += 5.0
    breaker.claim_probe()
    breaker.close()
    assert not breaker.trip(before)
    assert breaker.state is State.UP
