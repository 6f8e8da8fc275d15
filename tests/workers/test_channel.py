"""Messages between a worker and its parent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from proxy.admin.status import Report
from proxy.domain.warming import WarmOrder, WarmReply
from proxy.workers.channel import Channel, answer


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Channel, socket.socket]]:
    """Give the parent's channel and the worker's end of it."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    channel = await Channel.opened(ours)
    reading = asyncio.create_task(channel.read())
    yield channel, theirs
    theirs.close()
    await reading


async def no_orders(_: WarmOrder) -> WarmReply:
    raise AssertionError


async def test_a_worker_takes_orders_between_its_reports(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends

    async def warm(order: WarmOrder) -> WarmReply:
        return WarmReply(f"no {order.uri}")

    answering = asyncio.create_task(answer(theirs, lambda: Report(is_ready=True), warm))
    asked = channel.ask(), channel.warm(WarmOrder("cloudreve://s@share")), channel.ask()
    one, reply, other = await asyncio.gather(*asked)
    assert (one, other) == (Report(is_ready=True),) * 2
    assert reply == WarmReply("no cloudreve://s@share")
    await ended(answering)


async def ended(task: asyncio.Task[None]) -> None:
    """End a worker's answering: it closes its socket."""
    task.cancel()
    await asyncio.wait({task})


async def test_a_worker_reports_as_often_as_it_is_asked(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    reports = iter([Report(is_ready=False), Report(is_ready=True, troubles=("one",), metrics=b"x" * 1_000_000)])
    answering = asyncio.create_task(answer(theirs, lambda: next(reports), no_orders))
    assert await channel.ask() == Report(is_ready=False)
    assert (await channel.ask()).metrics == b"x" * 1_000_000
    await ended(answering)


async def test_requests_sent_together_are_answered_in_order(ends: tuple[Channel, socket.socket]) -> None:
    """And one who has given up does not get in the way of the others."""
    channel, theirs = ends
    numbers = iter("abc")
    asking = [asyncio.create_task(channel.ask()) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    answering = asyncio.create_task(answer(theirs, lambda: Report(is_ready=True, troubles=(next(numbers),)), no_orders))
    assert [(await each).troubles for each in asking[1:]] == [("b",), ("c",)]
    await ended(answering)


async def test_a_worker_that_is_gone_is_not_waited_for(ends: tuple[Channel, socket.socket]) -> None:
    channel, theirs = ends
    asking = asyncio.create_task(channel.ask())
    await asyncio.sleep(0)
    theirs.close()
    with pytest.raises(ConnectionError):
        await asking
    with pytest.raises(ConnectionError):
        await channel.ask()


async def test_a_worker_that_goes_while_one_who_asked_has_given_up_is_told_to_the_others(
    ends: tuple[Channel, socket.socket],
) -> None:
    channel, theirs = ends
    asking = [asyncio.create_task(channel.ask()) for _ in range(2)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    theirs.close()
    with pytest.raises(ConnectionError):
        await asking[1]


async def test_a_parent_that_is_gone_ends_the_answering() -> None:
    """So that a worker learns of it."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    answering = asyncio.create_task(answer(theirs, lambda: Report(is_ready=True), no_orders))
    await asyncio.sleep(0)
    ours.close()
    await answering
