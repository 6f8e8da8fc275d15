"""Requests of all kinds on one connection, in any pieces: each gets the answer that Cloudreve has given to it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from proxy.passthrough import upload
from proxy.standin.painting import paint
from tests.harness import scripted_cloudreve
from tests.harness.raw_client import Answer
from tests.harness.scripted_cloudreve import Call, RawConnection, ScriptedCloudreve, passing
from tests.harness.sites import thumb

PLAYS = int(os.environ.get("PASSING_PLAYS", "250"))
"""More of them, and others each time, when the environment says so."""
PICTURE = paint(1, 40, 30)
SIZES = (0, 1, 15_000, 17_000, 70_000, 300_000)
TORN = frozenset({"tears"})
"""Moments after which an answer may be lost on its way to the gateway."""


@dataclass(frozen=True)
class Asked:
    """The bytes of a visitor."""

    method: str = "GET"
    size: int = 0
    chunk: int = 0
    """The size of its chunks; 0 for a body with a length."""
    trailer: str = ""
    version: str = "1.1"
    connection: str = ""
    expects: bool = False
    """Whether the body waits for `100 Continue`."""
    waits: bool = True
    """Whether nothing more is sent before the answer is there."""
    cuts: tuple[tuple[int, int], ...] = ()
    """Where a piece ends: so many bytes behind the beginning, the end of the head or the end."""


@dataclass(frozen=True)
class Said:
    """The answer of Cloudreve."""

    status: int = 200
    size: int = 2
    framing: str = "length"
    chunk: int = 7000
    moment: str = "last"
    """Behind the body (`last`), before it (`first`), before it and with it the connection's end (`closes`), or without
    reading (`tears`)."""
    interim: bytes = b""


@dataclass(frozen=True)
class Turn:
    """A request and the answer to it; one for a thumbnail has its path in place of an answer."""

    asked: Asked
    said: Said | None = None
    target: str = ""

    @property
    def may_wait(self) -> bool:
        """Tell whether the body may wait for a permission."""
        return self.asked.expects and bool(self.asked.size)

    @property
    def is_waited_for(self) -> bool:
        """Tell whether nothing more is sent before the answer is there; nothing may be behind an announced end."""
        asked = self.asked
        return asked.waits or asked.connection == "close" or (asked.version == "1.0" and not asked.connection)


ASKED = st.builds(
    Asked,
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "PROPFIND"]),
    size=st.sampled_from(SIZES),
    chunk=st.sampled_from([0] * 12 + [1000, 16_384, 100_000]),
    trailer=st.sampled_from(["", "Authorization: Bearer of-somebody\r\n"]),
    connection=st.sampled_from([""] * 12 + ["close", "keep-alive"]),
    expects=st.booleans(),
    waits=st.booleans(),
    cuts=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([-40_000, -16_500, -100, -5, -2, -1, 0, 1, 2, 5, 100, 8000, 16_500, 40_000, 140_000]),
        ),
        max_size=4,
    ).map(tuple),
)
OLD = st.builds(
    Asked,
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    size=st.sampled_from(SIZES),
    version=st.just("1.0"),
    connection=st.sampled_from(["", "keep-alive"]),
    waits=st.booleans(),
)
SAID = st.builds(
    Said,
    status=st.sampled_from([200, 200, 200, 404, 204, 304]),
    size=st.sampled_from(SIZES),
    framing=st.sampled_from(["length", "length", "chunks", "end"]),
    chunk=st.sampled_from([1000, 16_384, 100_000]),
    moment=st.sampled_from(["last"] * 12 + ["first", "first", "closes", "tears"]),
    interim=st.sampled_from([b"", b"", b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"]),
)
THUMB = st.sampled_from([thumb("cloudreve://x@share/a.png"), thumb("cloudreve://x@share/none.png"), "/thumb"])
OF_CLOUDREVE = st.builds(Turn, st.one_of(*[ASKED] * 8, OLD), SAID)
OF_THE_GATEWAY = st.builds(
    lambda asked, method, target: Turn(Asked(**{**vars(asked), "method": method, "expects": False}), None, target),
    st.one_of(*[ASKED] * 8, OLD),
    st.sampled_from(["GET", "GET", "GET", "HEAD"]),
    THUMB,
)
TURNS = st.lists(st.one_of(OF_CLOUDREVE, OF_CLOUDREVE, OF_THE_GATEWAY), min_size=1, max_size=8)
LAST = Turn(Asked(connection="close"), Said())
"""Shows whether the connection can still be used."""


def filled(number: int, word: str, size: int) -> bytes:
    """Write a body that no other request or answer has."""
    text = f"{word} {number}|".encode()
    return (text * (size // len(text) + 1))[:size]


def in_chunks(body: bytes, size: int, *, extension: bytes = b"", trailer: str = "") -> bytes:
    """Cut a body into chunks (RFC 9112 §7.1)."""
    parts = [body[place : place + size] for place in range(0, len(body), size)]
    lines = [b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts]
    return b"".join(lines) + b"0\r\n" + trailer.encode() + b"\r\n"


def written(number: int, turn: Turn) -> tuple[bytes, bytes]:
    """Write a request: its head and its body."""
    asked, body = turn.asked, filled(number, "asked", turn.asked.size)
    lines = [f"{asked.method} {turn.target or f'/x/{number}'} HTTP/{asked.version}", "Host: cloud.example.com"]
    if asked.connection:
        lines.append(f"Connection: {asked.connection}")
    if turn.may_wait:
        lines.append("Expect: 100-continue")
    if asked.chunk:
        lines.append("Transfer-Encoding: chunked")
        body = in_chunks(body, asked.chunk, extension=b";a=b", trailer=asked.trailer)
    elif body or asked.method in {"PUT", "POST"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode(), body


def told(number: int, turn: Turn) -> tuple[list[str], bytes, bytes]:
    """Give Cloudreve's answer: the fields that are meant for the visitor, the body, and all of it as it is written."""
    assert turn.said is not None
    said = turn.said
    fields = [f"X-Number: {number}", "set-cookie: a=1", "Date: Mon, 23 Nov 2026 13:00:00 GMT", "Server: Cloudreve"]
    fields += ["Set-Cookie: b=2", "Keep-Alive: timeout=5"]
    has_none = said.status in {204, 304}
    body, framing = b"" if has_none else filled(number, "said", said.size), ""
    if said.framing == "length" and not has_none:
        framing = f"Content-Length: {len(body)}"
    elif said.framing == "chunks" and not has_none:
        framing = "Transfer-Encoding: chunked"
    raw = in_chunks(body, said.chunk) if "chunked" in framing else body
    body, raw = (b"", b"") if turn.asked.method == "HEAD" else (body, raw)
    head = "\r\n".join([f"HTTP/1.1 {said.status} Status-{number}", *fields, *[framing] * bool(framing), "", ""])
    lasting = [
        line for line in [*fields, framing] if line and line.split(":")[0] not in {"Keep-Alive", "Transfer-Encoding"}
    ]
    return [*lasting, "Via: 1.1 thumb-proxy"], body, said.interim + head.encode() + raw


class Cloudreve:
    """Answers as the turns say, and notes which bodies have come."""

    def __init__(self, place: ScriptedCloudreve, turns: Sequence[Turn]) -> None:
        self._far = place
        self._turns = turns
        self.received: dict[int, bytes | None] = {}
        """The bodies by the numbers of their requests; None for one that has not come whole."""

    async def serve(self) -> None:
        """Take calls until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._take(await self._far.call()))

    async def _take(self, call: Call) -> None:
        path = call.line.split()[1]
        with suppress(ConnectionError):
            if path.startswith("/x/"):
                await self._answer(int(path[3:]), call)
            elif path.startswith("/picture"):
                await call.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(PICTURE), PICTURE))
            else:
                found = {"code": 404, "msg": ""} if "none" in path else {"code": 0, "data": {"url": self._picture}}
                body = json.dumps(found).encode()
                await call.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    @property
    def _picture(self) -> str:
        return f"{self._far.url}/picture"

    async def _answer(self, number: int, call: Call) -> None:
        turn = self._turns[number]
        said, _, raw = turn.said, *told(number, turn)[1:]
        assert said is not None
        assert number not in self.received or turn.asked.method in {"GET", "HEAD"}
        self.received[number] = None
        if said.moment == "last":
            if "Expect" in call.fields:
                await call.say(b"HTTP/1.1 100 Continue\r\n\r\n")
            await self._receive(number, call)
        await call.say(raw)
        if said.moment == "tears":
            call.hang_up()
            return
        is_end = said.moment == "closes" or (said.framing == "end" and said.status not in {204, 304})
        if is_end:
            call.writer.write_eof()
        if said.moment != "last":
            await self._receive(number, call)
        if is_end:
            await call.hear_all()
            call.hang_up()
        else:
            await call.answer(b"")

    async def _receive(self, number: int, call: Call) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError, ValueError):
            self.received[number] = await call.body()


@dataclass
class Visitor:
    """Sends what the turns say over one connection, and reads the answers."""

    line: RawConnection
    turns: Sequence[Turn]
    answers: list[Answer] = field(default_factory=list)
    rest: bytes = b""
    is_cut: bool = False

    def __post_init__(self) -> None:
        self._heard = [asyncio.Event() for _ in self.turns]
        self._permitted = [asyncio.Event() for _ in self.turns]

    async def talk(self) -> None:
        """Send and read, until the connection ends."""
        sending = asyncio.create_task(self._send())
        try:
            await self._read()
        finally:
            for event in (*self._heard, *self._permitted):
                event.set()
            await sending
            if not self.line.writer.is_closing():
                with suppress(OSError):
                    self.line.writer.write_eof()
        self.rest = await self.line.hear_all()

    async def _send(self) -> None:
        waiting, places = b"", set[int]()
        for number, turn in enumerate(self.turns):
            head, body = written(number, turn)
            begin = len(waiting)
            waiting += head + (b"" if turn.may_wait else body)
            anchors = (begin, begin + len(head), begin + len(head) + len(body))
            places |= {anchors[anchor] + offset for anchor, offset in turn.asked.cuts}
            if turn.may_wait:
                await self._pieces(waiting, places)
                await self._permitted[number].wait()
                if self._is_over:
                    return
                waiting, places = body, {place - len(waiting) for place in places}
            if turn.is_waited_for:
                await self._pieces(waiting, places)
                waiting, places = b"", set()
                await self._heard[number].wait()
            if self._is_over:
                return
        await self._pieces(waiting, places)

    async def _pieces(self, data: bytes, places: Iterable[int]) -> None:
        """Write pieces that arrive one by one."""
        last = 0
        with suppress(ConnectionError):
            for place in [*sorted(place for place in places if 0 < place < len(data)), len(data)]:
                await self.line.say(data[last:place])
                last = place
                for _ in range(5):
                    await asyncio.sleep(0)

    @property
    def _is_over(self) -> bool:
        return self.is_cut or bool(self.answers and ends(self.answers[-1]))

    async def _read(self) -> None:
        for number, turn in enumerate(self.turns):
            try:
                self.answers.append(await self._answer(number, turn))
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                self.is_cut = True
                self.rest = getattr(error, "partial", b"")
                return
            self._permitted[number].set()
            self._heard[number].set()
            if ends(self.answers[-1]):
                return

    async def _answer(self, number: int, turn: Turn) -> Answer:
        head = await self.line.hear(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100 Continue\r\n"):
            assert turn.may_wait
            self._permitted[number].set()
            head = await self.line.hear(b"\r\n\r\n")
        answer = Answer(head, b"")
        if turn.asked.method == "HEAD" or answer.status in {204, 304}:
            return answer
        if answer.fields.get("Transfer-Encoding") == ["chunked"]:
            assert "Content-Length" not in answer.fields
            return Answer(head, await self._dechunked())
        if "Content-Length" in answer.fields:
            return Answer(head, await self.line.hear_bytes(int(answer.value("Content-Length"))))
        assert ends(answer)
        return Answer(head, await self.line.hear_all())

    async def _dechunked(self) -> bytes:
        body = b""
        while size := int(await self.line.hear(b"\r\n"), 16):
            body += await self.line.hear_bytes(size)
            assert await self.line.hear_bytes(2) == b"\r\n"
        assert await self.line.hear_bytes(2) == b"\r\n"
        return body


def ends(answer: Answer) -> bool:
    """Tell whether an answer says that it is the last of its connection."""
    connection = answer.fields.get("Connection", [])
    return connection == ["close"]


def may_end(turn: Turn) -> bool:
    """Tell whether there is a reason for an answer to be the last of its connection."""
    asked, said = turn.asked, turn.said
    is_early = said is not None and said.moment != "last" and bool(asked.size)
    is_old = asked.version == "1.0"
    return asked.connection == "close" or is_old or is_early


def compare(number: int, turn: Turn, answer: Answer) -> None:
    """Look whether a turn has got its own answer, byte for byte."""
    if turn.said is None:
        status = {"/thumb": 400, thumb("cloudreve://x@share/none.png"): 404}.get(turn.target, 200)
        assert answer.status == status
        is_shown = status == 200 and turn.asked.method == "GET"
        assert not is_shown or answer.body == PICTURE
        return
    if turn.said.moment in TORN and answer.status == 502:
        return
    fields, body, _ = told(number, turn)
    lines = answer.head.decode().split("\r\n")[:-2]
    assert lines[0] == f"HTTP/1.1 {turn.said.status} Status-{number}"
    assert [line for line in lines[1:] if line.split(":")[0] not in {"Connection", "Transfer-Encoding"}] == fields
    assert answer.body == body


async def play(given_turns: Sequence[Turn]) -> None:
    """Let a visitor take all turns, and compare."""
    turns = [*given_turns, LAST]
    async with passing() as scripted, scripted.line() as line:
        cloudreve, visitor = Cloudreve(scripted.cloudreve, turns), Visitor(line, turns)
        serving = asyncio.create_task(cloudreve.serve())
        try:
            await visitor.talk()
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
    answers = visitor.answers
    for number, (turn, answer) in enumerate(zip(turns, answers, strict=False)):
        compare(number, turn, answer)
        assert not ends(answer) or may_end(turn)
    if visitor.is_cut:
        torn = turns[len(answers)].said
        assert torn is not None
        assert torn.moment in TORN
        return
    assert visitor.rest == b""
    assert ends(answers[-1])
    for number, body in cloudreve.received.items():
        assert number < len(answers)
        said = turns[number].said
        whole = filled(number, "asked", turns[number].asked.size)
        assert body == whole or (body is None and said is not None and said.moment != "last")


@given(TURNS)
@settings(
    max_examples=PLAYS,
    deadline=None,
    derandomize="PASSING_PLAYS" not in os.environ,
    database=None,
    phases=[Phase.generate, *([Phase.shrink] if "PASSING_PLAYS" in os.environ else [])],
    suppress_health_check=list(HealthCheck),
)
def test_everybody_gets_their_own_answer(turns: list[Turn]) -> None:
    """Bodies, answers, pieces and ends of connections in any order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upload, "CONTINUE_S", 0.02)
        patch.setattr(scripted_cloudreve, "PATIENCE_S", 5.0)
        asyncio.run(play(turns))
