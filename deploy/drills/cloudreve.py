"""The stand-in Cloudreve in a process of its own, to be killed, stopped and spoilt; and that process.

It reads orders from standard input, whose closing ends it: `slow`, `garbage`, `flap`, `well`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

from aiohttp import web

from deploy.benchmarks.exhibits import Exhibit
from proxy.standin import faults
from proxy.standin.calls import Verb
from proxy.standin.faults import Exchange, Fault, Says
from proxy.standin.standin import StandIn

GENERATION_S = 60.0
FLAP_S = 0.15
PICTURES = 3000
LARGE_BYTES = 1_000_000
TOKEN_LIFE_S = 7 * 86400.0
VERBS: tuple[Verb, ...] = ("resolve", "fetch", "whoami", "ping")
_ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Site:
    """What there is to be asked for; the same after every start."""

    url: str
    token: str
    share: str
    pictures: list[str]
    large: str
    """A picture of a megabyte."""


class CloudreveProcess:
    """Runs it; after a kill it comes back on its port, with the same accounts and files."""

    def __init__(self, pictures: int = PICTURES) -> None:
        self._pictures = pictures
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Site:
        """Start it and wait until it answers."""
        words = [sys.executable, "-m", "deploy.drills.cloudreve", str(self._port), str(self._pictures)]
        self._process = await asyncio.create_subprocess_exec(
            *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT, limit=2**24
        )
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        told: dict[str, Any] = json.loads(await self._process.stdout.readline())
        self._port = int(told["url"].rpartition(":")[2])
        return Site(**told)

    def order(self, word: str) -> None:
        """Tell it how to be from now on."""
        assert self._process is not None  # noqa: S101 - it has been started
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        self._process.stdin.write(f"{word}\n".encode())

    def stop(self) -> None:
        """Let it hang."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `stop`."""
        self._send(signal.SIGCONT)

    async def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None  # noqa: S101 - it has been started
        os.kill(self._process.pid, number)


class Rubbish(Fault):
    """Something else every time, and nothing that could be used."""

    def __init__(self) -> None:
        self._kinds: Iterator[Fault] = cycle(
            (
                Says(faults.HTML, "text/html"),
                faults.Truncated(20),
                faults.json_body('{"code":0,"data":null}'),
                faults.Reset(),
                faults.error_page(500),
                faults.deep_json(),
                faults.Half(),
                Says(b"\x89PNG\r\n\x1a\n", "image/png"),
                faults.error_page(502),
            )
        )

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Send the next kind."""
        return await next(self._kinds).play(exchange)


async def _obey(cloudreve: StandIn, flapping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        cloudreve.mend()
        cloudreve.generator.seconds = GENERATION_S if word == "slow" else 0.0
        if word == "flap":
            flapping.set()
        else:
            flapping.clear()
        if word == "garbage":
            for verb in VERBS:
                cloudreve.fail(verb, Rubbish())


async def _flap(cloudreve: StandIn, flapping: asyncio.Event) -> None:
    while True:
        await flapping.wait()
        await cloudreve.stop()
        await asyncio.sleep(FLAP_S)
        await cloudreve.start()
        await asyncio.sleep(FLAP_S)


async def _serve(port: int, pictures: int) -> None:
    async with StandIn(port=port, size=(40, 30)) as cloudreve:
        library = cloudreve.library
        library.put(library.alice, "/album/large.png", thumbnail=Exhibit("large", 1, LARGE_BYTES).body)
        share, uris = library.gallery(pictures)
        large = f"cloudreve://{library.share.id}@share/large.png"
        told = Site(cloudreve.own_url, cloudreve.token(life_s=TOKEN_LIFE_S), share.id, uris, large)
        print(json.dumps(asdict(told)), flush=True)  # noqa: T201 - to the process that has started this one
        flapping = asyncio.Event()
        task = asyncio.get_running_loop().create_task(_flap(cloudreve, flapping))
        await _obey(cloudreve, flapping)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
