"""One visitor floods a gateway in earnest; another measures what is left: `python -m deploy.drills.one_visitor`.

Against the stand-in, or against the Cloudreve at CLOUDREVE_URL, with ALICE_TOKEN and the public SHARE of its pictures.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from deploy.drills.asking import question
from deploy.drills.cloudreve import CloudreveProcess
from deploy.drills.gateway import Gateway

FLOOD, OTHER = "127.0.0.2", "127.0.0.3"
SECONDS = 6.0
AT_ONCE = 50
TOKENS = 11_000
PAUSE_S = 0.02
SETTINGS = {
    "SERVER__TRUSTED_PROXIES": "192.0.2.255/32",
    "SERVER__MAX_CONNECTIONS": "60",
    "IDENTITY__TTL_S": "0.01",  # the other visitor is named anew each time
}


@dataclass
class Stage:
    """A gateway, what may be asked there, and what the flood was told."""

    port: int
    token: str
    picture: str
    folder: str
    told: Counter[int] = field(default_factory=Counter)


Flood = Callable[[Stage], Awaitable[None]]


async def ask(port: int, address: str, raw: bytes) -> int:
    """Ask over a connection of its own; give the status, 0 for a connection that was closed."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    except OSError:
        return 0
    try:
        writer.write(raw)
        return int((await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1])
    except (OSError, EOFError):
        return 0
    finally:
        writer.close()


async def many(stage: Stage, raws: AsyncIterator[bytes]) -> None:
    """Ask all of it, `AT_ONCE` at a time."""

    async def ask_some() -> None:
        async for raw in raws_shared():
            stage.told[await ask(stage.port, FLOOD, raw)] += 1

    async def raws_shared() -> AsyncIterator[bytes]:
        while True:
            async with lock:
                try:
                    raw = await anext(raws)
                except StopAsyncIteration:
                    return
            yield raw

    lock = asyncio.Lock()
    await asyncio.gather(*(ask_some() for _ in range(AT_ONCE)))


async def made_up_tokens(stage: Stage) -> None:
    """Send tokens that look like Cloudreve's and are not."""

    async def raws() -> AsyncIterator[bytes]:
        for number in range(TOKENS):
            token = f"{stage.token.rpartition('.')[0]}.{number:043d}"
            yield question(stage.picture, Authorization=f"Bearer {token}")

    await many(stage, raws())


async def garbage_tokens(stage: Stage) -> None:
    """Send tokens that do not even look like Cloudreve's."""

    async def raws() -> AsyncIterator[bytes]:
        for number in range(TOKENS):
            yield question(stage.picture, Authorization=f"Bearer garbage{number}")

    await many(stage, raws())


async def cold_uris(stage: Stage) -> None:
    """Ask for what is not there, each name once."""

    async def raws() -> AsyncIterator[bytes]:
        for number in range(TOKENS):
            yield question(f"{stage.folder}/none-{number}.png")

    await many(stage, raws())


async def connections(stage: Stage) -> None:
    """Open connections again and again, and say nothing."""
    opened: list[asyncio.StreamWriter] = []
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", stage.port, local_addr=(FLOOD, 0))
            opened.append(writer)
            stage.told[1] += 1
        if len(opened) > 5 * AT_ONCE:
            opened.pop(0).close()
        await asyncio.sleep(0.001)


async def nothing(_: Stage) -> None:
    """Leave the other visitor alone: for comparison."""
    await asyncio.sleep(SECONDS)


FLOODS: tuple[Flood, ...] = (nothing, made_up_tokens, garbage_tokens, cold_uris, connections)


async def rehearse(flood: Flood, gateway: Gateway, stage: Stage) -> str:
    """Let the flood come, ask meanwhile, and tell how that went."""
    calls = {verb: await gateway.counted(f'upstream_seconds_count{{verb="{verb}"') for verb in ("whoami", "resolve")}
    stage.told.clear()
    task = asyncio.ensure_future(flood(stage))
    raw = question(stage.picture, Authorization=f"Bearer {stage.token}")
    taken: list[float] = []
    statuses: Counter[int] = Counter()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        await asyncio.sleep(PAUSE_S)
        started = time.monotonic()
        statuses[await ask(stage.port, OTHER, raw)] += 1
        taken.append((time.monotonic() - started) * 1000)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    made = {
        verb: int(await gateway.counted(f'upstream_seconds_count{{verb="{verb}"') - count)
        for verb, count in calls.items()
    }
    quantiles = statistics.quantiles(taken, n=100)
    failed = sum(count for status, count in statuses.items() if status != HTTPStatus.OK)
    return (
        f"{flood.__name__:16} other: {len(taken):4} asked, {failed:3} failed, p50 {quantiles[49]:6.1f} ms, "
        f"p99 {quantiles[98]:6.1f} ms; calls: {made}; flood: {dict(sorted(stage.told.items()))}"
    )


@asynccontextmanager
async def site() -> AsyncIterator[tuple[str, str, str]]:
    """Give Cloudreve's address, a token, and a share."""
    if "CLOUDREVE_URL" in os.environ:
        yield os.environ["CLOUDREVE_URL"], os.environ["ALICE_TOKEN"], os.environ["SHARE"]
        return
    process = CloudreveProcess(pictures=10)
    try:
        found = await process.start()
        yield found.url, found.token, found.share
    finally:
        await process.kill()


async def main() -> None:
    """Rehearse each flood in front of a new gateway."""
    async with site() as (url, token, share):
        folder = f"cloudreve://{share}@share"
        for flood in FLOODS:
            with tempfile.TemporaryDirectory() as folder_of_log:
                gateway = Gateway(url, Path(folder_of_log) / "log", 4096, **SETTINGS)
                try:
                    await gateway.start()
                    stage = Stage(gateway.port, token, f"{folder}/{os.environ.get('PICTURE', '0.png')}", folder)
                    sys.stdout.write(await rehearse(flood, gateway, stage) + "\n")
                finally:
                    gateway.kill()


if __name__ == "__main__":
    asyncio.run(main())
