"""Heads of requests that are slow, or large: their senders are shown out, and nobody else notices."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable

import pytest

from proxy.domain.protocol_errors import HeadTooLarge
from proxy.standin.standin import StandIn
from tests.harness.gateways import GatewayClient, GatewayLauncher, in_share, until
from tests.harness.raw_client import Caller, bearer, calling, request

QUICK: dict[str, object] = {"header_timeout_s": 0.2}
FIELD = "X: " + "x" * 1000
LIMIT = 32768
"""Twice `server.max_header_bytes`."""


@pytest.fixture
async def gateway(launcher: GatewayLauncher) -> GatewayClient:
    """Run a gateway that waits for heads as long as it does by default."""
    return await launcher.open()


@pytest.fixture
async def quick(launcher: GatewayLauncher) -> GatewayClient:
    """Run a gateway that waits for heads for a moment only."""
    return await launcher.open(server=QUICK)


@pytest.fixture
async def caller(gateway: GatewayClient) -> AsyncIterator[Caller]:
    async with calling(gateway) as opened:
        yield opened


async def trickle(caller: Caller, first: bytes) -> None:
    """Send a head without an end, until the connection is gone."""
    caller.writer.write(first)
    end = asyncio.create_task(caller.rest())
    while not end.done():
        caller.writer.write(b"x")
        await asyncio.wait({end}, timeout=0.01)
    assert isinstance(end.exception(), ConnectionError) or end.result() == b""


@pytest.mark.parametrize("first", [b"GET /", b"GET /thumb HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_head_that_never_ends_is_not_waited_for(quick: GatewayClient, first: bytes) -> None:
    async with calling(quick) as caller:
        await trickle(caller, first)
    assert quick.count("cut_off_total", reason="head") == 1
    assert quick.count("connections") == 0


async def test_a_second_head_is_waited_for_no_longer_than_the_first(cloudreve: StandIn, quick: GatewayClient) -> None:
    """Hits in between, which are answered without being read, change nothing about it."""
    async with calling(quick) as caller:
        for _ in range(4):
            assert (await caller.ask(request(in_share(cloudreve)))).status == 200
        await trickle(caller, b"GET /thumb")


async def test_a_silent_connection_is_closed(quick: GatewayClient) -> None:
    """There is no need to come before there is something to ask."""
    async with calling(quick) as caller:
        assert await caller.rest() == b""


async def test_between_two_requests_there_is_time(cloudreve: StandIn, quick: GatewayClient) -> None:
    """A connection that has been used is kept, though it is idle for longer than a head may take."""
    raw = request(in_share(cloudreve))
    async with calling(quick) as kept:
        assert (await kept.ask(raw)).status == 200
        for _ in range(2):
            async with calling(quick) as slow:
                await trickle(slow, b"GET /")
        assert (await kept.ask(raw)).status == 200


async def test_an_answer_may_take_longer_than_a_head(cloudreve: StandIn, quick: GatewayClient) -> None:
    """A visitor who has asked waits for the deadline of the request."""
    cloudreve.generator.gate = gate = asyncio.Event()
    async with calling(quick) as caller:
        caller.writer.write(request(in_share(cloudreve)))
        await cloudreve.calls.arrived("resolve")
        async with calling(quick) as slow:
            await trickle(slow, b"GET /")
        gate.set()
        assert (await caller.read()).status == 200


def upload(cloudreve: StandIn, size_bytes: int) -> bytes:
    """Write the head of a request that puts a file there."""
    line = "PUT /api/v4/file/content?uri=cloudreve://my/new.txt HTTP/1.1"
    head = [line, "Host: x", bearer(cloudreve.token()), f"Content-Length: {size_bytes}", "", ""]
    return "\r\n".join(head).encode()


async def test_a_body_may_take_longer_than_a_head(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """An upload through the gateway is Cloudreve's business."""
    gateway = await launcher.open(server={**QUICK, "passthrough": True})
    async with calling(gateway) as caller:
        caller.writer.write(upload(cloudreve, 4) + b"ab")
        async with calling(gateway) as slow:
            await trickle(slow, b"GET /")
        caller.writer.write(b"cd")
        assert (await caller.read()).status == 200


def large(size_bytes: int, *more: str) -> bytes:
    """Write a head of about that size, each line of which is short."""
    return request("cloudreve://my/a.png", *more, *[FIELD] * (size_bytes // len(FIELD)))


@pytest.mark.parametrize("cut", [lambda raw: [raw], lambda raw: [raw[:20_000], raw[20_000:]]], ids=["whole", "in two"])
async def test_a_head_may_be_twice_as_long_as_a_line(caller: Caller, cut: Callable[[bytes], list[bytes]]) -> None:
    """And no longer, in however many pieces it comes; the connection ends with the answer that says so."""
    await caller.pieces(cut(large(LIMIT - 2000)))
    assert (await caller.read()).status == 401
    await caller.pieces(cut(large(LIMIT + 2000)))
    answer = await caller.read()
    assert answer.status == 431
    assert await caller.rest() == b""


async def test_requests_before_a_head_that_is_too_large_are_answered(cloudreve: StandIn, caller: Caller) -> None:
    hot = request(in_share(cloudreve))
    caller.writer.write(hot + hot + large(LIMIT + 2000) + hot)
    assert [(await caller.read()).status for _ in range(3)] == [200, 200, 431]
    assert await caller.rest() == b""


async def test_a_head_cannot_grow_behind_a_request_that_takes_its_time(cloudreve: StandIn, caller: Caller) -> None:
    """It is refused when its turn has come, and not one byte more of it is kept until then."""
    cloudreve.generator.gate = gate = asyncio.Event()
    caller.writer.write(request(in_share(cloudreve)))
    await cloudreve.calls.arrived("resolve")
    await caller.pieces([b"GET / HTTP/1.1\r\n", *[FIELD.encode() + b"\r\n"] * 100])
    gate.set()
    assert [(await caller.read()).status for _ in range(2)] == [200, 431]


async def test_a_body_is_no_head(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """A megabyte of it, in pieces, on a connection that is used again."""
    gateway = await launcher.open(server={"passthrough": True})
    async with calling(gateway) as caller:
        for _ in range(2):
            await caller.pieces([upload(cloudreve, 1_000_000), *[b"x" * 10_000] * 100])
            assert (await caller.read()).status == 200


@pytest.mark.parametrize("size_bytes", [100, 40_000, 300_000])
@pytest.mark.parametrize("pieces", [1, 2, 3])
async def test_the_end_of_a_body_is_no_head(
    cloudreve: StandIn, launcher: GatewayLauncher, size_bytes: int, pieces: int
) -> None:
    """However large its last piece is, the next request on the connection is answered."""
    gateway = await launcher.open(server={"passthrough": True})
    head, body = upload(cloudreve, size_bytes), b"x" * size_bytes
    cuts = {1: [head + body], 2: [head, body], 3: [head, body[: size_bytes // 2], body[size_bytes // 2 :]]}
    async with calling(gateway) as caller:
        await caller.pieces(cuts[pieces])
        assert (await caller.read()).status == 200
        assert (await caller.ask(request(in_share(cloudreve)))).status == 200


async def test_nothing_of_a_request_that_breaks_http_is_kept(gateway: GatewayClient) -> None:
    """An error that leads to itself would wait for the garbage collector, with all that had come: a megabyte each."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            async with calling(gateway) as caller:
                await caller.pieces([b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 1_000_000])
                assert (await caller.read()).status == 431
        await until(lambda: not gateway.count("connections"))
        errors = [found for found in gc.get_objects() if isinstance(found, HeadTooLarge)]
        assert [error.__traceback__ for error in errors] == [None] * len(errors)
    finally:
        gc.enable()
