"""The hit path while Redis is being asked: whatever happens meanwhile, each request has one answer, in its turn."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

import pytest
from aiohttp import web

from proxy.fastpath.entry import FinishedAnswer, HeadAndBody, Recalled
from proxy.fastpath.index import FastPath
from proxy.fastpath.key import Key, PendingRequest
from proxy.fastpath.meaning import Circumstances, Meaning, Said
from proxy.fastpath.protocol import FastPathProtocol, FastPathRunner
from proxy.fastpath.redis_hits import Read, Receive, RedisHits
from proxy.http.connection import Connection
from proxy.http.connection_limits import ConnectionLimits
from proxy.observe.metrics import Metrics
from proxy.settings import ServerSettings
from tests.harness.raw_client import Caller
from tests.harness.raw_client import request as written

KNOWN = b"GET /known HTTP/1.1\r\nHost: x\r\n\r\n"
OTHER = b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n"
NEAR = b"GET /near HTTP/1.1\r\nHost: x\r\n\r\n"
FOUND = (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"found")
HELD = (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"held")


SOMEWHERE = Meaning(Said(0, Circumstances(None, None, None, "http://x", "", None), ()))


@dataclass
class Known:
    """The state of the one request."""

    key: Key
    shown: bool = True


class Together(RedisHits):
    """Hands a value over when it is told to."""

    def __init__(self, fast_path: ScriptedFastPath) -> None:
        self._far = fast_path
        self._replies: deque[HeadAndBody | Exception | None] = deque()
        self._asked_for: deque[Callable[[Read], None]] = deque()
        self._reply: HeadAndBody | Exception | None = None

    def ask(self, known: FinishedAnswer, raw: bytes, receive: Receive) -> bool:
        """Wait for Redis."""
        self._asked_for.append(partial(receive, raw, self.answer, known, b""))
        self._far.note()
        self._hand_over()
        return True

    def put_nowait(self, reply: HeadAndBody | Exception | None) -> None:
        """Let Redis reply."""
        self._replies.append(reply)
        self._hand_over()

    def _hand_over(self) -> None:
        if self._replies and self._asked_for:
            asyncio.get_running_loop().call_soon(self._receive, self._asked_for.popleft(), self._replies.popleft())

    def _receive(self, receive: Callable[[Read], None], reply: HeadAndBody | Exception | None) -> None:
        self._reply = reply
        receive(Read(0.0, 0, 0.0, 0.0, b""))

    def answer(self, known: FinishedAnswer, value: bytes | None, read: Read) -> HeadAndBody | None:  # noqa: ARG002
        """Count it."""
        if isinstance(self._reply, Exception):
            raise self._reply
        self._far.given += self._reply is not None
        return self._reply


class Alone(RedisHits):
    """Leaves each picture to a task."""

    def __init__(self) -> None:
        """Have nothing."""

    def ask(self, known: FinishedAnswer, raw: bytes, receive: Receive) -> bool:  # noqa: ARG002
        """Decline."""
        return False


class ScriptedFastPath(FastPath):
    """Has one answer in memory, and one in Redis, which answers when it is told to."""

    def __init__(self, *, is_together: bool) -> None:
        self.trusts = lambda _: False
        self.key = lambda data, *, is_trusted: Key(data, SOMEWHERE)  # noqa: ARG005
        self._known: Known | None = None
        self.asked_for = self.given = 0
        self._replies: asyncio.Queue[HeadAndBody | Exception | None] = asyncio.Queue()
        self.replies: Together | asyncio.Queue[HeadAndBody | Exception | None] = self._replies
        self._is_together = is_together
        self.redis_hits = Alone()
        if is_together:
            self.redis_hits = self.replies = Together(self)
        self._asked = asyncio.Event()

    def asked(self, key: Key) -> PendingRequest:
        """Remember nothing."""
        return PendingRequest(key, 0, 0)

    def find(self, data: bytes, is_trusted: bool) -> FinishedAnswer | None:  # noqa: ARG002 - as it is called
        """Know its lines, where it goes with others."""
        if data == NEAR:
            return cast("FinishedAnswer", Known(Key(data, SOMEWHERE)))
        return self.known(Key(data, SOMEWHERE)) if self._is_together else None

    def answer(self, known: FinishedAnswer) -> HeadAndBody | None:
        """Give the answer in memory."""
        return HELD if known.key.line == NEAR else None

    def known(self, key: Key) -> FinishedAnswer | None:
        """Know one request."""
        if key.line != KNOWN:
            return None
        self._known = self._known or Known(key)
        return cast("FinishedAnswer", self._known)

    async def recall(self, known: FinishedAnswer) -> Recalled | None:  # noqa: ARG002 - there is but one
        """Wait for Redis."""
        self.note()
        reply = await self._replies.get()
        if isinstance(reply, Exception):
            raise reply
        return cast("Recalled | None", reply)

    def give(self, recalled: Recalled) -> HeadAndBody:
        """Count it."""
        self.given += 1
        return cast("HeadAndBody", recalled)

    async def is_asked(self, times: int = 1) -> None:
        """Wait until it has been asked."""
        while self.asked_for < times:
            self._asked.clear()
            await self._asked.wait()

    def note(self) -> None:
        """Take note of a question."""
        self.asked_for += 1
        self._asked.set()


class ScriptedServer:
    """A server in front of which Redis is asked, and what it answers itself."""

    def __init__(
        self, runner: web.AppRunner, fast_path: ScriptedFastPath, connection_limits: ConnectionLimits, read: list[str]
    ) -> None:
        self.runner = runner
        self.fast_path = fast_path
        self.connection_limits = connection_limits
        self.read = read
        """The paths of the requests that came the long way."""

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[Caller]:
        """Open a connection."""
        async with Caller(*await asyncio.open_connection(*self.runner.addresses[0][:2])) as caller:
            yield caller

    @property
    def connections(self) -> list[Connection]:
        """List the connections."""
        assert self.runner.server is not None
        return cast("list[Connection]", self.runner.server.connections)


@pytest.fixture(params=[False, True], ids=["alone", "together"])
async def scripted(request: pytest.FixtureRequest) -> AsyncIterator[ScriptedServer]:
    """Run one, each of whose questions has a task of its own, or goes with the others of its tick."""
    read: list[str] = []

    async def handle(asked: web.Request) -> web.Response:
        read.append(asked.path)
        return web.Response(text=asked.path)

    app = web.Application()
    app.router.add_get("/{name}", handle)
    fast_path, connection_limits = (
        ScriptedFastPath(is_together=request.param),
        ConnectionLimits(2, ServerSettings(), Metrics()),
    )
    runner = FastPathRunner(app, fast_path, connection_limits, shutdown_timeout=5.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield ScriptedServer(runner, fast_path, connection_limits, read)
    await runner.cleanup()


@pytest.fixture
async def caller(scripted: ScriptedServer) -> AsyncIterator[Caller]:
    """Open a connection on which Redis is being asked."""
    async with scripted.calling() as opened:
        opened.writer.write(KNOWN)
        await scripted.fast_path.is_asked()
        yield opened


async def test_a_request_whose_answer_is_in_redis_is_not_read(scripted: ScriptedServer, caller: Caller) -> None:
    """Again and again on one connection, and between requests that are."""
    scripted.fast_path.replies.put_nowait(FOUND)
    assert (await caller.read()).body == b"found"
    for _ in range(3):
        scripted.fast_path.replies.put_nowait(FOUND)
        assert (await caller.ask(KNOWN)).body == b"found"
    assert scripted.read == []
    assert (await caller.ask(OTHER)).body == b"/other"
    scripted.fast_path.replies.put_nowait(FOUND)
    assert (await caller.ask(KNOWN)).body == b"found"
    assert scripted.read == ["/other"]


async def test_a_request_right_behind_an_answer_is_not_read_either(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes when the last byte before it has left, and aiohttp does not wait for anything yet."""
    handle = FastPathProtocol.handle_request  # no other place is in between

    async def handled(self: FastPathProtocol, *work: object) -> tuple[web.StreamResponse, bool]:
        done = await handle(self, *work)
        assert self._waiter is None
        asyncio.get_running_loop().call_soon(self.data_received, KNOWN)
        return done

    monkeypatch.setattr(FastPathProtocol, "handle_request", handled)
    async with scripted.calling() as caller:
        scripted.fast_path.replies.put_nowait(FOUND)
        assert (await caller.ask(OTHER)).body == b"/other"
        assert (await caller.read()).body == b"found"
    assert scripted.read == ["/other"]


async def test_a_request_whose_answer_is_not_in_redis_is_read(scripted: ScriptedServer, caller: Caller) -> None:
    scripted.fast_path.replies.put_nowait(None)
    assert (await caller.read()).body == b"/known"
    assert scripted.read == ["/known"]
    assert (await caller.ask(OTHER)).body == b"/other"


async def test_an_error_while_it_is_looked_for_is_the_gateways_alone(scripted: ScriptedServer, caller: Caller) -> None:
    """The visitor has an answer; the loop hears of the error."""
    heard = asyncio.Event()
    asyncio.get_running_loop().set_exception_handler(lambda *_: heard.set())
    scripted.fast_path.replies.put_nowait(RuntimeError("a library's surprise"))
    assert (await caller.read()).body == b"/known"
    assert (await caller.ask(OTHER)).body == b"/other"
    async with asyncio.timeout(5):
        await heard.wait()


@pytest.mark.parametrize("reply", [FOUND, None], ids=["found", "not found"])
async def test_a_request_that_comes_meanwhile_is_answered_after_it(
    scripted: ScriptedServer, caller: Caller, reply: HeadAndBody | None
) -> None:
    """Each once; Redis' reply comes too late to be of use, and disturbs nobody."""
    await caller.pieces([OTHER, KNOWN, OTHER])
    assert [(await caller.read()).body for _ in range(4)] == [b"/known", b"/other", b"/known", b"/other"]
    for _ in range(scripted.fast_path.asked_for):
        scripted.fast_path.replies.put_nowait(reply)
    scripted.fast_path.replies.put_nowait(FOUND)
    assert (await caller.ask(KNOWN)).body == b"found"
    assert scripted.read == ["/known", "/other", "/known", "/other"]
    assert scripted.fast_path.given == 1, "what is not sent is not counted"


async def test_an_answer_in_memory_waits_for_one_that_redis_is_asked_for(
    scripted: ScriptedServer, caller: Caller
) -> None:
    caller.writer.write(NEAR)
    assert [(await caller.read()).body for _ in range(2)] == [b"/known", b"/near"]
    async with scripted.calling() as other:
        assert (await other.ask(NEAR)).body == b"held"


async def test_an_answer_in_memory_waits_for_a_request_that_has_just_come(scripted: ScriptedServer) -> None:
    """Both come in one tick of the loop, before anybody has taken up the first."""
    async with scripted.calling() as caller:
        assert (await caller.ask(NEAR)).body == b"held"
        [connection] = scripted.connections
        connection.data_received(OTHER)
        connection.data_received(NEAR)
        assert [(await caller.read()).body for _ in range(2)] == [b"/other", b"/near"]


async def test_a_head_that_begins_meanwhile_is_read_to_its_end(caller: Caller) -> None:
    """It is cut anywhere, and what it goes on with looks like a known request."""
    await caller.pieces([OTHER[:-2], b"X-Rest: "])
    assert (await caller.read()).body == b"/known"
    assert (await caller.ask(KNOWN)).status == 400, "a field and a host too much"


async def test_a_late_reply_is_not_taken_for_that_to_the_next_question(
    scripted: ScriptedServer, caller: Caller
) -> None:
    """The same request again, of which Redis is asked again."""
    caller.writer.write(OTHER)
    assert [(await caller.read()).body for _ in range(2)] == [b"/known", b"/other"]
    caller.writer.write(KNOWN)
    await scripted.fast_path.is_asked(2)
    scripted.fast_path.replies.put_nowait((FOUND[0], b"late!"))
    scripted.fast_path.replies.put_nowait(FOUND)
    assert (await caller.read()).body == b"found"


async def test_a_visitor_who_leaves_meanwhile_disturbs_nobody(scripted: ScriptedServer, caller: Caller) -> None:
    caller.writer.transport.abort()
    async with scripted.calling() as other:
        assert (await other.ask(OTHER)).body == b"/other"
        scripted.fast_path.replies.put_nowait(FOUND)
        scripted.fast_path.replies.put_nowait(FOUND)
        assert (await other.ask(KNOWN)).body == b"found"
    assert scripted.read == ["/other"]


async def test_an_answer_to_a_connection_that_is_closing_is_not_counted_as_given(
    scripted: ScriptedServer, caller: Caller
) -> None:
    (connection,) = scripted.connections
    assert connection.transport is not None
    scripted.fast_path.replies.put_nowait(FOUND)
    connection.transport.abort()
    assert await caller.rest() == b""
    async with scripted.calling() as other:
        assert (await other.ask(OTHER)).body == b"/other"
    assert scripted.fast_path.given == 0


@pytest.mark.parametrize("reply", [FOUND, None], ids=["found", "not found"])
async def test_a_shutdown_loses_no_request(scripted: ScriptedServer, caller: Caller, reply: HeadAndBody | None) -> None:
    """It is answered the long way, and the connection ends behind it."""
    ending = asyncio.ensure_future(scripted.runner.cleanup())
    assert (await caller.read()).body == b"/known"
    assert await caller.rest() == b""
    await ending
    scripted.fast_path.replies.put_nowait(reply)


async def test_nothing_follows_an_answer_after_which_the_connection_ends(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if it is at hand by the time that aiohttp closes."""
    handle = FastPathProtocol.handle_request  # no other place is in between

    async def handled(self: FastPathProtocol, *work: object) -> tuple[web.StreamResponse, bool]:
        done = await handle(self, *work)
        self.data_received(KNOWN)
        await scripted.fast_path.is_asked()
        asyncio.get_running_loop().call_soon(scripted.fast_path.replies.put_nowait, FOUND)
        return done

    monkeypatch.setattr(FastPathProtocol, "handle_request", handled)
    async with scripted.calling() as caller:
        caller.writer.write(OTHER.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (await caller.read()).body == b"/other"
        assert await caller.rest() == b""
    assert scripted.fast_path.given == 0


async def test_a_client_that_waits_for_redis_has_sent_a_head(scripted: ScriptedServer, caller: Caller) -> None:
    """So that neither the time for a head nor that for idling runs on, on a connection's first request either."""
    [connection] = scripted.connections
    assert connection.is_used
    assert connection.head_takes_s(asyncio.get_running_loop().time() + 1000) == 0.0


async def test_a_connection_that_waits_for_redis_is_not_idle(scripted: ScriptedServer, caller: Caller) -> None:
    """So that it is not the one to go when others come."""
    assert [connection.idle_since for connection in scripted.connections] == [math.inf]
    scripted.fast_path.replies.put_nowait(FOUND)
    await caller.read()
    assert [connection.idle_since < math.inf for connection in scripted.connections] == [True]


async def test_a_request_of_another_shape_is_never_looked_up(scripted: ScriptedServer) -> None:
    """Two in one piece, a part of one, or one with a body."""
    async with scripted.calling() as caller:
        await caller.pieces([KNOWN + KNOWN])
        assert [(await caller.read()).body for _ in range(2)] == [b"/known"] * 2
    async with scripted.calling() as caller:
        await caller.pieces([KNOWN[:9], KNOWN[9:]])
        assert (await caller.read()).body == b"/known"
    async with scripted.calling() as caller:
        length = f"Content-Length: {len(KNOWN)}"
        await caller.pieces([written("x", length, method="POST"), KNOWN])
        assert (await caller.read()).status == 405
    assert scripted.fast_path.asked_for == 0
