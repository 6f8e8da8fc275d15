"""The gate: open until tripped, shut for a while, one probe at a time."""

from __future__ import annotations

import pytest

from proxy.redis.circuit_breaker import Gate, State
from tests.cache.conftest import Clock


@pytest.fixture
def gate(clock: Clock) -> Gate:
    """Give a gate that pauses for 5 seconds."""
    return Gate(5.0, clock)


def test_it_is_open_at_first_and_has_nothing_to_probe(gate: Gate) -> None:
    """No trouble, no probe."""
    assert gate.state is State.UP
    assert not gate.claim_probe()


def test_trouble_shuts_it_once(gate: Gate) -> None:
    """Of many commands that fail together the first one shuts it."""
    epoch = gate.epoch
    assert gate.trip(epoch)
    assert gate.state is State.PAUSED
    assert not gate.trip(epoch)


def test_one_probe_is_due_when_the_pause_is_over(gate: Gate, clock: Clock) -> None:
    """One caller claims it, all others miss until it has ended."""
    gate.trip(gate.epoch)
    clock.now += 4.9
    assert not gate.claim_probe()
    clock.now += 0.2
    assert gate.claim_probe()
    clock.now += 100.0
    assert not gate.claim_probe()
    assert gate.state is State.PAUSED


def test_a_probe_that_succeeds_opens_it(gate: Gate, clock: Clock) -> None:
    """And trouble afterwards counts again."""
    gate.trip(gate.epoch)
    clock.now += 5.0
    assert gate.claim_probe()
    gate.open()
    assert gate.state is State.UP
    assert gate.trip(gate.epoch)


def test_a_probe_that_fails_begins_another_pause(gate: Gate, clock: Clock) -> None:
    """The next one is due after as long again."""
    gate.trip(gate.epoch)
    clock.now += 5.0
    assert gate.claim_probe()
    gate.stay_shut()
    assert gate.state is State.PAUSED
    assert not gate.claim_probe()
    clock.now += 5.0
    assert gate.claim_probe()


def test_a_command_from_before_the_pause_does_not_shut_it_again(gate: Gate, clock: Clock) -> None:
    """It was sent to a Redis that has since gone and come back."""
    before = gate.epoch
    gate.trip(before)
    clock.now += 5.0
    gate.claim_probe()
    gate.open()
    assert not gate.trip(before)
    assert gate.state is State.UP
