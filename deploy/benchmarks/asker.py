"""An asyncio client that asks as fast as Python can, where there is no wrk or a moment has to do."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from yarl import URL

from deploy.benchmarks.measured import Measured

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_END = b"\r\n\r\n"
_GOOD = (b"2", b"3")


async def put_on(
    url: str,
    paths: Sequence[str],
    headers: Mapping[str, str],
    seconds: float,
    connections: int,
    delay_ms: int,
    browsers: Sequence[str],
) -> Measured:
    """Ask for these paths at random."""
    loop, place = asyncio.get_running_loop(), URL(url)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    raws = [f"GET {path} HTTP/1.1\r\nHost: {place.authority}\r\n{lines}".encode() for path in paths]
    until = loop.time() + seconds
    ends = [f"{lines}\r\n".encode() for lines in browsers or ("",)]
    askers = [_Asker(loop, raws, until, delay_ms / 1000, ends) for _ in range(connections)]
    begun = loop.time()
    for asker in askers:
        await loop.create_connection(partial(_same, asker), place.host or "", place.port or 80)
    await asyncio.gather(*(asker.ended for asker in askers))
    latencies = sorted(latency for asker in askers for latency in asker.latencies) or [0.0]
    percentiles = (latencies[int(len(latencies) * part)] * 1000 for part in (0.5, 0.99, 0.999))
    return Measured(
        sum(len(asker.latencies) for asker in askers),
        loop.time() - begun,
        sum(asker.received for asker in askers),
        sum(asker.bad for asker in askers),
        *percentiles,
    )


def _same(asker: _Asker) -> _Asker:
    return asker


class _Asker(asyncio.Protocol):
    """One connection."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        raws: list[bytes],
        until: float,
        delay_s: float,
        ends: list[bytes],
    ) -> None:
        self._loop = loop
        self._ends = ends
        self._raws = raws
        self._until = until
        self._delay_s = delay_s
        self._begun = 0.0
        self._left = -1
        self._buffer = b""
        self.ended: asyncio.Future[None] = loop.create_future()
        self.latencies: list[float] = []
        self.received = 0
        self.bad = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Take in an answer; ask again when it is whole."""
        self.received += len(data)
        if self._left < 0:
            data = self._buffer = self._buffer + data
            end = data.find(_END)
            if end < 0:
                return
            self.bad += data[9:10] not in _GOOD
            length = _LENGTH.search(data, 0, end)
            self._left = int(length[1]) if length and data[9:12] != b"304" else 0
            data, self._buffer = data[end + len(_END) :], b""
        self._left -= len(data)
        if self._left == 0:
            self._left = -1
            self._end_one()

    def connection_lost(self, _: Exception | None) -> None:
        """End."""
        if not self.ended.done():
            self.bad += 1
            self.ended.set_result(None)

    def _end_one(self) -> None:
        now = self._loop.time()
        self.latencies.append(now - self._begun)
        if now >= self._until:
            self.ended.set_result(None)
            self._transport.close()
        elif self._delay_s:
            self._loop.call_later(self._delay_s * random.uniform(0.5, 1.5), self._ask)  # noqa: S311 - not a secret
        else:
            self._ask()

    def _ask(self) -> None:
        self._begun = self._loop.time()
        if not self._transport.is_closing():
            self._transport.write(random.choice(self._raws) + random.choice(self._ends))  # noqa: S311 - not a secret
