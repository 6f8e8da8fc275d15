"""`deploy/warming`: how fast a folder is warmed, and what visitors of the real Cloudreve notice of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import quote

import aiohttp
from PIL import Image, ImageFilter
from rich.console import Console
from rich.table import Table

from deploy.drills.cloudreve_site import CloudreveSite
from deploy.drills.until_told import until_told

VISITED = 20
VISITORS = 2
PAUSE_S = 0.05
CALM_S = 20.0
BUSY = (40073, 40004, 50004)
"""Cloudreve's codes for a thumbnail that is being made."""
RATE_GOAL, P99_GOAL = 0.9, 2.0
_KEPT = re.compile(r"([\d,]+) kept, .* in \d+ s \(([\d.]+) a second\)")


class Phase(NamedTuple):
    """What went on, how many pictures a second were made, and what Cloudreve's visitors waited."""

    name: str
    rate: float
    p50_ms: float
    p99_ms: float
    visits: int


@dataclass
class Stage:
    """A real Cloudreve, with a user's folder of pictures."""

    site: CloudreveSite
    client: aiohttp.ClientSession
    at_a_time: int

    async def upload(self, folder: str, names: list[str], seed: int) -> None:
        """Store pictures in a folder."""
        await self.site.api("POST", "/file/create", {"uri": self.site.uri(folder), "type": "folder"})
        bodies = [photograph(seed + number) for number in range(min(len(names), 24))]
        work = asyncio.Queue[int]()
        for number in range(len(names)):
            work.put_nowait(number)

        async def upload() -> None:
            while not work.empty():
                number = work.get_nowait()
                where = quote(self.site.uri(f"{folder}/{names[number]}"), safe="")
                # Bytes behind the end of a JPEG make each file another one.
                await self.site.api("PUT", f"/file/content?uri={where}", bodies[number % len(bodies)] + b"%d" % number)

        await asyncio.gather(*(upload() for _ in range(4)))

    async def thumbnail(self, uri: str) -> str:
        """Have Cloudreve make a thumbnail, as often as it takes, and give its URL."""
        path = f"/api/v4/file/thumb?uri={quote(uri, safe='')}"
        headers = {"Authorization": f"Bearer {self.site.token}"}
        while True:
            async with self.client.get(self.site.origin + path, headers=headers) as response:
                answer = json.loads(await response.read())
            if answer["code"] == 0:
                return str(answer["data"]["url"])
            if answer["code"] not in BUSY:
                raise RuntimeError(f"Cloudreve makes no thumbnail: {answer['code']} {answer.get('msg')}")
            await asyncio.sleep(0.1)

    async def visit(self, uri: str) -> float:
        """Look at a picture as Cloudreve's own page does, and give the seconds that it took."""
        started = time.monotonic()
        url = await self.thumbnail(uri)
        async with self.client.get(self.site.origin + "/api/v4" + url.partition("/api/v4")[2]) as response:
            await response.read()
        return time.monotonic() - started

    async def visited_while(self, name: str, work: Callable[[], Awaitable[float]]) -> Phase:
        """Do work, which gives a rate, while visitors look at pictures that have been there for long."""
        waits: list[float] = []

        async def visit(seed: int) -> None:
            chance = Random(seed)  # noqa: S311 - any picture
            while True:
                waits.append(await self.visit(self.site.uri(f"visited/{chance.randrange(VISITED)}.jpg")))
                await asyncio.sleep(PAUSE_S)

        visitors = [asyncio.create_task(visit(number)) for number in range(VISITORS)]
        try:
            rate = await work()
        finally:
            for task in visitors:
                task.cancel()
            await asyncio.gather(*visitors, return_exceptions=True)
        waits.sort()
        ranks = (waits[len(waits) // 2] * 1000, waits[int(len(waits) * 0.99)] * 1000)
        return Phase(name, rate, *ranks, len(waits))

    async def generate(self, folder: str, names: list[str]) -> float:
        """Have Cloudreve make all thumbnails of a folder, and give how many a second."""
        started, left = time.monotonic(), list(names)

        async def ask() -> None:
            while left:
                await self.thumbnail(self.site.uri(f"{folder}/{left.pop()}"))

        await asyncio.gather(*(ask() for _ in range(self.at_a_time)))
        return len(names) / (time.monotonic() - started)


def photograph(seed: int) -> bytes:
    """Paint a JPEG of 1600x1200, of about as many bytes as a photograph."""
    chance = Random(seed)  # noqa: S311 - colours
    small = Image.frombytes("RGB", (80, 60), chance.randbytes(80 * 60 * 3))
    image = small.resize((1600, 1200), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(4))
    file = BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


async def warmed(stage: Stage, asked: Namespace, folder: Path) -> float:
    """Warm a folder by the command, and give how many pictures a second it tells of."""
    site = stage.site
    secret = folder / "password"
    secret.write_text(asked.password, encoding="utf-8")
    secret.chmod(0o600)
    configuration = folder / "gateway.toml"
    configuration.write_text(
        f'[cloudreve]\nurl = "{asked.cloudreve}"\n[disk]\npath = "{folder / "cache"}"\n'
        f'[[publish]]\nprefix = "cloudreve://my/{site.folder}"\nemail = "{asked.email}"\nsecret_file = "{secret}"\n',
        encoding="utf-8",
    )
    words = ["-c", "from proxy.cli import main; main()", "warm", f"cloudreve://my/{site.folder}/warmed"]
    words += ["--config", str(configuration), "--as", asked.email, "--at-a-time", str(asked.at_a_time)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("THUMB_PROXY_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, env=inherited, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    _, told = await process.communicate()
    found = _KEPT.search(told.decode())
    if process.returncode != 0 or found is None or int(found[1].replace(",", "")) != asked.pictures:
        raise RuntimeError(f"not all was warmed: {told.decode()}")
    return float(found[2])


async def drill(asked: Namespace) -> list[Phase]:
    """Prepare three folders, and measure calm, Cloudreve alone, and the command."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="thumb-proxy-warming-")))
        client = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        site = CloudreveSite(client, asked.cloudreve)
        await site.sign_in(asked.email, asked.password)
        stack.push_async_callback(site.api, "DELETE", "/file", {"uris": [site.uri("")]})
        stage = Stage(site, client, asked.at_a_time)
        names = [f"{number}.jpg" for number in range(asked.pictures)]
        for number, (name, count) in enumerate((("visited", VISITED), ("alone", len(names)), ("warmed", len(names)))):
            await stage.upload(name, names[:count], number * 100)
        await stage.generate("visited", names[:VISITED])

        async def be_calm() -> float:
            await asyncio.sleep(CALM_S)
            return 0.0

        return [
            await stage.visited_while("nothing else", be_calm),
            await stage.visited_while("Cloudreve alone", lambda: stage.generate("alone", names)),
            await stage.visited_while("thumb-proxy warm", lambda: warmed(stage, asked, folder)),
        ]


def _told(phases: list[Phase]) -> int:
    calm, alone, warm = phases
    table = Table("meanwhile", "pictures a second", "visitors' p50", "visitors' p99", "visits")
    for phase in phases:
        rate = f"{phase.rate:.1f}" if phase.rate else ""
        table.add_row(phase.name, rate, f"{phase.p50_ms:.1f} ms", f"{phase.p99_ms:.1f} ms", f"{phase.visits:,}")
    console = Console(width=110)
    console.print(table)
    rate, slower = warm.rate / alone.rate, warm.p99_ms / calm.p99_ms
    console.print(
        f"rate {rate:.2f} of Cloudreve's alone (goal {RATE_GOAL}); p99 {slower:.2f} of calm (goal {P99_GOAL})"
    )
    return int(rate < RATE_GOAL or slower > P99_GOAL)


def main() -> int:
    """Read the command line, and do as it says; 1 when a goal was missed."""
    parser = ArgumentParser(prog="deploy/warming", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cloudreve", default="http://127.0.0.1:5212", help="a real Cloudreve")
    parser.add_argument(
        "--email", default="alice@example.org", help="a user of it; a folder of theirs is made and deleted"
    )
    parser.add_argument("--password", required=True)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--at-a-time", type=int, default=2, help="as of thumb-proxy warm, and of Cloudreve alone (2)")
    return _told(asyncio.run(until_told(drill(parser.parse_args()))))


if __name__ == "__main__":
    sys.exit(main())
