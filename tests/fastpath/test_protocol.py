"""The hit path's place on a connection: before aiohttp's parser, without ever getting out of step with it."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import pytest
from aiohttp import web

from proxy.fastpath.entry import FinishedAnswer, HeadAndBody
from proxy.fastpath.index import FastPath
from proxy.fastpath.meaning import Circumstances, Meaning, Said
from proxy.fastpath.protocol import FastPathProtocol, FastPathRunner
from proxy.http.connection_limits import ConnectionLimits
from proxy.observe.metrics import Metrics
from proxy.settings import ServerSettings
from proxy.standin.faults import Hang
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, TWO, GatewayClient, GatewayLauncher, in_share
from tests.harness.raw_client import Caller, bearer, calling, request
from tests.harness.redis_server import RedisServer


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """List the requests that were answered without being read."""
    answered: list[bytes] = []
    answer = FastPath.answer

    def watched(self: FastPath, known: FinishedAnswer) -> HeadAndBody | None:
        wire = answer(self, known)
        if wire is not None:
            answered.append(known.key.target)
        return wire

    monkeypatch.setattr(FastPath, "answer", watched)
    return answered


@pytest.fixture
async def hot(cloudreve: StandIn, gateway: GatewayClient) -> bytes:
    """Give a request of alice's that is answered at once."""
    raw = request(ONE, bearer(cloudreve.token()))
    async with calling(gateway) as caller:
        for _ in range(3):
            await caller.ask(raw)
    return raw


def target(raw: bytes) -> bytes:
    return raw.split(b" ", 2)[1]


def body(cloudreve: StandIn, name: str = "one") -> bytes:
    thumbnail = cloudreve.library.file(f"/album/{name}.png").thumbnail
    assert thumbnail is not None
    return thumbnail.read()


async def test_requests_in_one_piece_are_answered_in_their_order(
    cloudreve: StandIn, caller: Caller, hot: bytes, at_once: list[bytes]
) -> None:
    """Again and again, and never under their bytes together."""
    other = request(TWO, bearer(cloudreve.token()))
    for _ in range(4):
        caller.writer.write(hot + other + hot)
        answers = [await caller.read() for _ in range(3)]
        assert [answer.body for answer in answers] == [body(cloudreve), body(cloudreve, "two"), body(cloudreve)]
    assert at_once == []


async def test_a_request_that_comes_while_another_is_answered_waits_for_it(
    cloudreve: StandIn, gateway: GatewayClient, hot: bytes, at_once: list[bytes]
) -> None:
    """However hot; and neither is remembered for the other."""
    cloudreve.generator.gate = asyncio.Event()
    cold = request(TWO, bearer(cloudreve.token()))
    async with calling(gateway) as caller:
        await caller.pieces([cold])
        await cloudreve.calls.arrived("resolve", 2)
        await caller.pieces([hot, hot])
        assert at_once == []
        cloudreve.generator.gate.set()
        answers = [await caller.read() for _ in range(3)]
        assert [answer.body for answer in answers] == [body(cloudreve, "two"), body(cloudreve), body(cloudreve)]
        assert (await caller.ask(hot)).body == body(cloudreve)
        assert (await caller.ask(cold)).body == body(cloudreve, "two")
    assert at_once == [target(hot)]


async def test_a_request_right_behind_an_answer_is_known_again(
    cloudreve: StandIn, caller: Caller, at_once: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes when the last byte before it has left, and aiohttp does not wait for anything yet."""
    raw = request(ONE, bearer(cloudreve.token()))
    handle, behind = FastPathProtocol.handle_request, [raw, raw]  # no other place is in between

    async def handled(self: FastPathProtocol, *work: object) -> tuple[web.StreamResponse, bool]:
        done = await handle(self, *work)
        if behind:
            assert self._waiter is None
            self.data_received(behind.pop())
        return done

    monkeypatch.setattr(FastPathProtocol, "handle_request", handled)
    answers = [await caller.ask(raw), await caller.read(), await caller.read()]
    assert (await caller.ask(raw)).body == body(cloudreve)
    assert [answer.body for answer in answers] == [body(cloudreve)] * 3
    assert at_once == [target(raw)]


async def test_an_answer_is_not_remembered_for_the_request_behind_its_own(
    cloudreve: StandIn, gateway: GatewayClient, hot: bytes
) -> None:
    """Alice's token takes a while to verify; meanwhile somebody else asks on the same connection, as by a proxy."""
    theirs = request(ONE, bearer("e30.e30.e30"))
    for number in range(4):
        cloudreve.fail("whoami", held := Hang(), times=1)
        hers = request(ONE, bearer(cloudreve.token(life_s=1000 + number)))
        async with calling(gateway) as caller:
            known = len(cloudreve.calls.of("whoami"))
            await caller.pieces([hers])
            await cloudreve.calls.arrived("whoami", known + 1)
            await caller.pieces([theirs])
            held.until.set()
            assert [(await caller.read()).status for _ in range(2)] == [200, 401]
    async with calling(gateway) as caller:
        assert (await caller.ask(theirs)).status == 401


async def test_pieces_sent_ahead_one_by_one_are_all_answered(
    cloudreve: StandIn, gateway: GatewayClient, hot: bytes, at_once: list[bytes]
) -> None:
    """More than aiohttp takes in at a time, while the first of them has to wait."""
    cloudreve.generator.gate = asyncio.Event()
    async with calling(gateway) as caller:
        await caller.pieces([request(TWO, bearer(cloudreve.token()))])
        await cloudreve.calls.arrived("resolve", 2)
        await caller.pieces([hot] * 80)
        cloudreve.generator.gate.set()
        answers = [await caller.read() for _ in range(81)]
        assert (await caller.ask(hot)).body == body(cloudreve)
    assert [answer.body for answer in answers] == [body(cloudreve, "two"), *[body(cloudreve)] * 80]


async def test_a_head_may_come_in_two_pieces_cut_anywhere(
    cloudreve: StandIn, gateway: GatewayClient, hot: bytes, at_once: list[bytes]
) -> None:
    """It is the same request, and the connection is in step afterwards."""
    expected = body(cloudreve)
    for cut in range(1, len(hot)):
        async with calling(gateway) as caller:
            await caller.pieces([hot[:cut], hot[cut:]])
            assert (await caller.read()).body == expected, cut
            assert at_once == [], cut
            assert (await caller.ask(hot)).body == expected, cut
            assert at_once.pop() == target(hot), cut


async def test_a_head_may_come_byte_by_byte(cloudreve: StandIn, caller: Caller, hot: bytes) -> None:
    for _ in range(3):
        await caller.pieces(hot[place : place + 1] for place in range(len(hot)))
        assert (await caller.read()).body == body(cloudreve)


async def test_a_known_request_inside_another_head_is_not_answered(
    cloudreve: StandIn, caller: Caller, hot: bytes, at_once: list[bytes]
) -> None:
    """A head that has begun goes on, whatever its next piece looks like alone."""
    await caller.pieces([request(TWO, "X-Rest: ")[:-4]])
    answer = await caller.ask(hot)
    assert (answer.status, at_once) == (400, []), "it has two hosts, and Authorization is among its fields"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_known_request_inside_a_body_is_not_answered(
    cloudreve: StandIn, gateway: GatewayClient, hot: bytes, at_once: list[bytes], method: str
) -> None:
    """What a body consists of is no request, in whatever pieces it comes."""
    length = f"Content-Length: {2 * len(hot)}"
    async with calling(gateway) as caller:
        await caller.pieces([request(TWO, length, method=method), hot, hot])
        first = await caller.read()
        last = await caller.ask(hot)
    assert (first.status, last.body) == ({"GET": 401, "POST": 405}[method], body(cloudreve))
    assert len(at_once) == 1, "the last"


async def test_a_known_request_inside_a_chunk_is_not_answered(
    cloudreve: StandIn, gateway: GatewayClient, hot: bytes, at_once: list[bytes]
) -> None:
    async with calling(gateway) as caller:
        begin = request(TWO, "Transfer-Encoding: chunked", method="POST")
        await caller.pieces([begin, b"%x\r\n" % len(hot), hot, b"\r\n0\r\n", hot])
        assert (await caller.read()).status in (400, 405)
        assert b"image/png" not in await caller.rest()
    assert at_once == []


async def test_a_body_spoils_no_answer(
    cloudreve: StandIn, gateway: GatewayClient, caller: Caller, hot: bytes, at_once: list[bytes]
) -> None:
    """Whether it comes with its head or behind it: the bytes of such a request are never those of an answer."""
    with_body = request(ONE, bearer(cloudreve.token()), "Content-Length: 5")
    for _ in range(4):
        assert (await caller.ask(with_body + b"hello")).body == body(cloudreve)
    assert at_once == []
    assert (await caller.ask(hot)).body == body(cloudreve)
    at_once.clear()
    for framing, rest in FRAMINGS.items():
        for _ in range(4):
            async with calling(gateway) as other:
                await other.pieces([request(ONE, bearer(cloudreve.token()), framing), rest])
                assert (await other.read()).body == body(cloudreve), framing
    assert at_once == []


FRAMINGS = {"Content-Length: 5": b"hello", "Transfer-Encoding: chunked": b"5\r\nhello\r\n0\r\n\r\n"}


BREAKS = {
    "bare line feeds between two requests": b"GET /healthz HTTP/1.1\nHost: x\n\n",
    "bare carriage returns": b"GET /healthz HTTP/1.1\rHost: x\r\r",
    "an empty line before": b"\r\n",
    "a folded length": b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n 5\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "a null byte": b"GET /healthz HTTP/1.1\r\nHost: \0\r\n\r\n",
}


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS.keys())
async def test_heads_that_servers_read_differently_are_never_remembered(
    cloudreve: StandIn, gateway: GatewayClient, hot: bytes, at_once: list[bytes], broken: bytes
) -> None:
    for _ in range(4):
        async with calling(gateway) as caller:
            caller.writer.write(broken + hot)
            caller.writer.write_eof()
            answered = await caller.rest()
            assert answered.count(b"HTTP/1.1 200 OK\r\nETag") <= 1
    assert at_once == []
    assert gateway.running.hits.size_bytes < 5000, "the hot one alone"


ONCE = {
    "HTTP/1.0": (["Connection: keep-alive"], {"version": "1.0"}),
    "a connection that is to end": (["Connection: close"], {}),
    "who waits to be told to go on": (["Expect: 100-continue"], {}),
    "who would rather speak something else": (["Connection: Upgrade", "Upgrade: websocket"], {}),
}


@pytest.mark.parametrize(("lines", "options"), ONCE.values(), ids=ONCE.keys())
async def test_a_request_that_changes_the_connection_goes_the_long_way(
    cloudreve: StandIn, gateway: GatewayClient, at_once: list[bytes], lines: list[str], options: dict[str, str]
) -> None:
    raw = request(in_share(cloudreve), *lines, **options)
    for _ in range(5):
        async with calling(gateway) as caller:
            answer = await caller.ask(raw)
            assert (answer.status, len(answer.body)) == (200, len(body(cloudreve)))
    assert at_once == []


async def test_an_answer_that_was_replaced_is_found_again_by_the_connection_that_remembers_the_old_one(
    gateway: GatewayClient, hot: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hits, reads = gateway.running.hits, []
    async with calling(gateway) as caller, calling(gateway) as other:
        await caller.ask(hot)
        hits.forget()
        for _ in range(2):
            await other.ask(hot)
        await caller.ask(hot)
        monkeypatch.setattr(hits, "key", lambda *read, **by: reads.append((read, by)))
        assert (await caller.ask(hot)).status == 200
    assert reads == []


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 30, -4, -1])
async def test_the_beginning_of_the_next_request_is_kept(
    cloudreve: StandIn, caller: Caller, hot: bytes, at_once: list[bytes], cut: int
) -> None:
    await caller.pieces([hot + hot[:cut], hot[cut:]])
    assert [(await caller.read()).body for _ in range(2)] == [body(cloudreve)] * 2
    assert (await caller.ask(hot)).body == body(cloudreve)


async def test_head_is_answered_at_once_too(
    cloudreve: StandIn, gateway: GatewayClient, caller: Caller, hot: bytes, at_once: list[bytes]
) -> None:
    """With the head that GET has, no body, and the connection in step; it is counted as without the fast path."""
    head = request(ONE, bearer(cloudreve.token()), method="HEAD")
    answers = [await caller.ask(head) for _ in range(3)]
    sent = gateway.count("sent_bytes_total")
    answers.append(await caller.ask(head))
    picture = await caller.ask(hot)
    assert [answer.body for answer in answers] == [b""] * 4
    assert [answer.fields | {"Date": []} for answer in answers[1:]] == [picture.fields | {"Date": []}] * 3
    assert at_once[-2:] == [target(head), target(hot)]
    assert gateway.count("sent_bytes_total") - sent == len(picture.body)


@pytest.mark.parametrize("spelling", ["authorization", "AUTHORIZATION", "AuThOrIzAtIoN"])
async def test_names_of_fields_are_read_in_any_case(
    cloudreve: StandIn, caller: Caller, hot: bytes, at_once: list[bytes], spelling: str
) -> None:
    """Each spelling is the same request; a length in whatever case is a length."""
    raw = hot.replace(b"Authorization", spelling.encode())
    for _ in range(4):
        assert (await caller.ask(raw)).body == body(cloudreve)
    assert at_once == [target(raw)] * 4
    await caller.pieces([request(TWO, f"cOnTeNt-LeNgTh: {len(hot)}"), hot])
    assert (await caller.read()).status == 401
    assert at_once == [target(raw)] * 4


@pytest.mark.parametrize("max_bytes", [10_000_000, 100_000], ids=["from memory", "from Redis"])
async def test_a_client_that_does_not_read_is_not_written_to_without_bound(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer, max_bytes: int
) -> None:
    """What they asked for beyond a buffer waits until they read; then all of it comes, in order."""
    names = ["a", "b"]
    pictures = [paint(seed, 200, 150) for seed in (5, 6)]
    for name, picture in zip(names, pictures, strict=True):
        cloudreve.library.put(cloudreve.library.alice, f"/{name}.png", thumbnail=picture)
    redis = {"url": redis_server.url, "timeout_s": 5.0}
    gateway, token = await launcher.open(memory={"max_bytes": max_bytes}, redis=redis), bearer(cloudreve.token())
    asked = [request(f"cloudreve://my/{name}.png", token) for name in names]
    async with calling(gateway) as caller:
        for raw in asked * 3:
            await caller.ask(raw)
        caller.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        before = gateway.count("requests_total", outcome="hit")
        await caller.pieces(asked * MANY)
        await gateway.ask(ONE)  # by then the gateway has done what it will do
        assert gateway.count("requests_total", outcome="hit") - before < MANY
        for _ in range(MANY):
            assert [(await caller.read()).body for _ in asked] == pictures


MANY = 200


SOMEWHERE = Meaning(Said(0, Circumstances(None, None, None, "http://x", "", None), ()))


class Known(FastPath):
    """Has one answer for one request."""

    def __init__(self) -> None:
        self.trusts = lambda _: False

    def find(self, data: bytes, is_trusted: bool) -> FinishedAnswer | None:  # noqa: ARG002
        """Know a ping."""
        return cast("FinishedAnswer", PING) if data == PING else None

    def answer(self, known: FinishedAnswer) -> HeadAndBody | None:  # noqa: ARG002 - there is but one
        """Answer a ping."""
        return b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", b""


PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
KEEP_S = 1.0


async def test_a_connection_in_use_is_kept_and_an_idle_one_is_closed() -> None:
    connection_limits = ConnectionLimits(10, ServerSettings(), Metrics())
    runner = FastPathRunner(web.Application(), Known(), connection_limits, keepalive_timeout=KEEP_S)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    loop = asyncio.get_running_loop()
    async with Caller(*await asyncio.open_connection(*runner.addresses[0][:2])) as caller:
        asked = begun = loop.time()
        while asked < begun + 1.5 * KEEP_S:
            asked = loop.time()
            assert (await caller.ask(PING)).status == 204
        assert await caller.rest() == b""
        assert loop.time() >= asked + 0.9 * KEEP_S
    await runner.cleanup()


async def test_a_visitor_who_has_left_disturbs_nobody(
    cloudreve: StandIn, gateway: GatewayClient, hot: bytes, at_once: list[bytes]
) -> None:
    for _ in range(20):
        async with calling(gateway) as caller:
            caller.writer.write(hot * 3 + hot[:50])
            caller.writer.transport.abort()
    async with calling(gateway) as caller:
        assert (await caller.ask(hot)).body == body(cloudreve)
