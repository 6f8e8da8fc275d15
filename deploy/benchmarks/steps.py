"""A process of its own: a gateway that is asked for pictures, and tells what the steps of a hit take it.

The steps are called as its connections call them; one JSON object on standard output has microseconds of user and
system time each.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from resource import RUSAGE_THREAD, getrusage

import uvloop

from deploy.benchmarks.browsers import header_lines
from proxy.fastpath.index import FastPath
from proxy.observe.log import configure
from proxy.settings import Settings
from proxy.wiring.process import running

TIMES = 20
LEARNT = 3
"""After so many requests the gateway knows an answer."""


async def measure(cloudreve: str, paths: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Ask for each path, and then take the steps for browsers that have never asked."""
    settings = Settings.model_validate(
        {"cloudreve": {"url": cloudreve}, "server": {"host": "127.0.0.1", "port": 0}, "admin": {"port": 0}}
    )
    writer = configure(settings.log)
    async with running(settings) as gateway:
        first, *others = header_lines(is_proxied=False)
        host = f"127.0.0.1:{gateway.port}"
        await _ask(gateway.port, [_raw(path, host, first) for path in paths] * LEARNT)
        told = _steps(gateway.hits, [_raw(paths[n % len(paths)], host, lines) for n, lines in enumerate(others)])
    writer.close()
    return told


def _steps(hits: FastPath, raws: Sequence[bytes]) -> dict[str, tuple[float, float]]:
    read = _each_us([lambda raw=raw: hits.key(raw, is_trusted=False) for raw in raws], 1)  # type: ignore[misc]
    parse = _each_us([lambda raw=raw: hits.find(raw, is_trusted=False) for raw in raws], TIMES)  # type: ignore[misc]
    answers = [known for raw in raws if (known := hits.find(raw, is_trusted=False)) is not None]
    decide = _each_us([lambda known=known: hits.answer(known) for known in answers], TIMES)  # type: ignore[misc]
    if len(answers) < len(raws) or None in [hits.answer(known) for known in answers]:
        raise RuntimeError("the gateway does not know what it was asked")
    nothing = _each_us([lambda: None] * len(raws), TIMES)
    return {
        name: (used[0] - nothing[0], used[1]) for name, used in (("read", read), ("parse", parse), ("decide", decide))
    }


def _each_us(calls: Sequence[Callable[[], object]], times: int) -> tuple[float, float]:
    """Call each so many times; give user and system time of one call in microseconds."""
    before = getrusage(RUSAGE_THREAD)
    for _ in range(times):
        for call in calls:
            call()
    after, count = getrusage(RUSAGE_THREAD), len(calls) * times / 1e6
    return (after.ru_utime - before.ru_utime) / count, (after.ru_stime - before.ru_stime) / count


def _raw(path: str, host: str, lines: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode()


async def _ask(port: int, raws: Sequence[bytes]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for raw in raws:
        writer.write(raw)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
    writer.close()
    await writer.wait_closed()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(measure(sys.argv[1], sys.argv[2:]))), flush=True)  # noqa: T201 - to its parent
