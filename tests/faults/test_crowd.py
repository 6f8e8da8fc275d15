"""More visitors than there is room for, and visitors who do not read what they have asked for."""

from __future__ import annotations

import asyncio
import math
import resource
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]  # for tests alone
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import cast
from unittest.mock import Mock

import pytest
from aiohttp import web

from deploy.benchmarks.exhibits import Exhibit
from proxy.http import connection_limits as crowd
from proxy.http.connection import Connection
from proxy.http.connection_limits import ConnectionLimits
from proxy.http.file_descriptors import room_for
from proxy.observe.metrics import Metrics
from proxy.settings import ServerSettings
from proxy.standin.standin import StandIn
from tests.harness.gateways import GatewayClient, GatewayLauncher, in_share, until
from tests.harness.raw_client import Caller, calling, request

MOST = 8
UNLIMITED = resource.RLIM_INFINITY


@pytest.fixture
async def small(launcher: GatewayLauncher, monkeypatch: pytest.MonkeyPatch) -> GatewayClient:
    """Run a gateway with room for few, who count as idle at once."""
    monkeypatch.setattr(crowd, "IDLE_AFTER_S", -1.0)
    return await launcher.open(server={"max_connections": MOST})


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Close at the end what a test has opened."""
    async with AsyncExitStack() as opened:
        yield opened


async def used(gateway: GatewayClient, stack: AsyncExitStack, uri: str) -> Caller:
    caller = await stack.enter_async_context(calling(gateway))
    assert (await caller.ask(request(uri))).status == 200
    return caller


async def test_the_connection_idle_for_longest_makes_room(
    cloudreve: StandIn, small: GatewayClient, stack: AsyncExitStack
) -> None:
    """One leaves for one who comes; the others notice nothing."""
    uri = in_share(cloudreve)
    callers = [await used(small, stack, uri) for _ in range(MOST)]
    assert (await callers[0].ask(request(uri))).status == 200  # in use again, and so no longer the first to go
    await used(small, stack, uri)
    assert await callers[1].rest() == b""
    for caller in (callers[0], *callers[2:]):
        assert (await caller.ask(request(uri))).status == 200
    assert small.count("cut_off_total", reason="crowded") == 1
    assert small.count("connections") == MOST


async def test_a_connection_without_a_request_goes_first(
    cloudreve: StandIn, small: GatewayClient, stack: AsyncExitStack
) -> None:
    uri = in_share(cloudreve)
    callers = [await used(small, stack, uri) for _ in range(MOST - 1)]
    silent = await stack.enter_async_context(calling(small))
    await until(lambda: small.count("connections") == MOST)
    await used(small, stack, uri)
    assert await silent.rest() == b""
    assert (await callers[0].ask(request(uri))).status == 200


async def test_when_all_are_being_served_nobody_else_is_let_in(
    cloudreve: StandIn, small: GatewayClient, stack: AsyncExitStack
) -> None:
    """None of them is cut off for it, and there is room again when they have their answers."""
    cloudreve.generator.gate = gate = asyncio.Event()
    callers = [await stack.enter_async_context(calling(small)) for _ in range(MOST)]
    for caller in callers:
        caller.writer.write(request(in_share(cloudreve)))
    await until(lambda: small.count("collapsed_total", flight="grant") == MOST - 1)
    for _ in range(3):
        turned_away = await stack.enter_async_context(calling(small))
        with pytest.raises((ConnectionError, EOFError)):
            await turned_away.ask(request(in_share(cloudreve)))
    gate.set()
    assert [(await caller.read()).status for caller in callers] == [200] * MOST
    callers[0].writer.close()
    await until(lambda: small.count("connections") < MOST)
    await used(small, stack, in_share(cloudreve))


async def test_a_connection_in_use_is_not_idle(
    cloudreve: StandIn, launcher: GatewayLauncher, stack: AsyncExitStack
) -> None:
    """Nor is one that has just come: both are left alone, and who comes on top of them is turned away."""
    gateway = await launcher.open(server={"max_connections": MOST})
    callers = [await used(gateway, stack, in_share(cloudreve)) for _ in range(MOST)]
    turned_away = await stack.enter_async_context(calling(gateway))
    with pytest.raises((ConnectionError, EOFError)):
        await turned_away.ask(request(in_share(cloudreve)))
    for caller in callers:
        assert (await caller.ask(request(in_share(cloudreve)))).status == 200


async def test_an_answer_that_is_not_read_is_given_up(
    cloudreve: StandIn, launcher: GatewayLauncher, stack: AsyncExitStack
) -> None:
    gateway = await launcher.open(server={"send_timeout_s": 0.2})
    library, body = cloudreve.library, Exhibit("large", 1, 1_000_000).body
    library.put(library.alice, "/album/large.png", thumbnail=body)
    raw = request(in_share(cloudreve, "large.png"))
    other = await used(gateway, stack, in_share(cloudreve))
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.running.port, limit=1)
    await stack.enter_async_context(Caller(reader, writer))
    cast("asyncio.Transport", writer.transport).pause_reading()
    writer.write(raw * 20)
    await until(lambda: gateway.count("cut_off_total", reason="unread"))
    await until(lambda: gateway.count("connections") == 1)
    assert (await other.ask(raw)).body == body


async def test_a_large_picture_is_not_copied_for_anybody(
    cloudreve: StandIn, launcher: GatewayLauncher, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[object] = []
    write = _SelectorSocketTransport.write

    def seen(self: _SelectorSocketTransport, data: bytes) -> None:
        written.append(data)
        write(self, data)

    monkeypatch.setattr(_SelectorSocketTransport, "write", seen)
    library = cloudreve.library
    library.put(library.alice, "/album/large.png", thumbnail=Exhibit("large", 1, 100_000).body)
    gateway = await launcher.open()
    for _ in range(3):
        caller = await stack.enter_async_context(calling(gateway))
        assert (await caller.ask(request(in_share(cloudreve, "large.png"), "X: y"))).status == 200
    own = [data for data in written if isinstance(data, bytes) and len(data) == 100_000]
    assert len(own) >= 2
    assert len({id(data) for data in own[1:]}) == 1


def connection() -> tuple[Connection, Mock]:
    async def never(_: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError

    made = Connection(web.Server(never), loop=asyncio.get_running_loop())
    transport = made._wire = Mock()  # noqa: SLF001 - `connection_made` would begin to read from it
    return made, transport


async def test_a_slow_reader_is_waited_for() -> None:
    """Only a stretch of time in which nothing at all is read counts, however little lies ready in the end."""
    made, transport = connection()
    lies_ready = transport.get_write_buffer_size
    for now, size_bytes, unread_s in ((0, 0, 0), (1, 900, 0), (2, 900, 1), (3, 800, 0), (9, 800, 6), (10, 0, 0)):
        lies_ready.return_value = size_bytes
        assert made.unread_for_s(now) == unread_s
    lies_ready.return_value = 900
    made.unread_for_s(20)
    made.pause_writing()
    made.resume_writing()  # all was read, and as much written again
    assert (made.unread_for_s(29), made.unread_for_s(31)) == (0, 2)


async def test_a_connection_that_cannot_close_is_known() -> None:
    """Unread bytes keep it open, though aiohttp has turned away from it."""
    made, transport = connection()
    made.force_close()
    transport.get_write_buffer_size.return_value = 900
    assert [made.unread_for_s(now) for now in (0, 61)] == [0, 61]
    made.cut_off()
    transport.abort.assert_called_once_with()


async def test_one_look_around_is_enough_while_nobody_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turning a thousand away must not mean looking at everybody a thousand times."""
    looked_at: list[Connection] = []

    def busy(each: Connection) -> float:
        looked_at.append(each)
        return math.inf

    monkeypatch.setattr(Connection, "idle_since", property(busy))
    full = ConnectionLimits(1, ServerSettings(), Metrics())
    first, _ = connection()
    full.enter(first)
    for _ in range(5):
        made, transport = connection()
        full.enter(made)
        transport.abort.assert_called_once_with()
    assert looked_at == [first]
    full.look()
    full.enter(connection()[0])
    assert looked_at == [first, first]


@pytest.mark.parametrize(
    ("limits", "room", "raised"),
    [
        ((1024, 524288), 10_000, (20_000, 524288)),
        ((256, 256), 128, (256, 256)),
        ((1024, 4096), 2048, (4096, 4096)),
        ((65536, 65536), 10_000, (65536, 65536)),
        ((UNLIMITED, UNLIMITED), 10_000, (UNLIMITED, UNLIMITED)),
        ((1024, UNLIMITED), 10_000, (20_000, UNLIMITED)),
        ((1, 1), 1, (1, 1)),
    ],
)
def test_half_of_the_descriptors_is_for_visitors(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], room: int, raised: tuple[int, int]
) -> None:
    """A limit that the process may raise itself is raised as far as need be."""
    known = [limits]
    monkeypatch.setattr(resource, "getrlimit", lambda _: known[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: known.append(limit))
    assert room_for(10_000) == room
    assert known[-1] == raised


def test_a_system_that_does_not_raise_the_limit_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some say that there is none, and then allow no more than ten thousand."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (512, UNLIMITED))
    monkeypatch.setattr(resource, "setrlimit", Mock(side_effect=ValueError))
    assert room_for(10_000) == 256
