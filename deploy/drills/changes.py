"""`deploy/changes`: how long an old picture is seen after a change, by kind of change, way and viewer.

A real Cloudreve, two replicas of the gateway on one Redis whose clocks are a second apart, and for each kind of change
the one who makes it, the same user at the other replica, a share's visitor and a published visitor, who all have the
picture already. Each asks again until it gets what Cloudreve shows it now.
"""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import aiohttp
from rich.console import Console
from rich.table import Table

from deploy.drills.change_ways import CHANGES, Make, Stage, ways_of
from deploy.drills.cloudreve_site import CloudreveSite, Refused
from deploy.drills.redis_process import RedisProcess
from proxy.settings import Settings
from proxy.upstream.clock import Clock
from proxy.wiring.process import running

APART_S = 1.0
GIVE_UP_S = 15.0
PAUSE_S = 0.05
HEARD_S = 7.0
"""How long everybody has looked before a direct change: the share is listened to, and all from before has been told."""
VIEWERS = ("author", "other replica", "share", "published")


async def see(stage: Stage, viewer: str) -> bytes | None:
    """Ask as a viewer; None for anything but a picture."""
    gateway, uri, token = stage.views()[viewer]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with stage.client.get(f"{gateway}/thumb?uri={quote(uri, safe='')}", headers=headers) as response:
        body = await response.read()
        return body if response.status == 200 else None  # noqa: PLR2004


async def seen_by_all(stage: Stage) -> None:
    """Have everybody see it so often that it is kept in every way."""
    for viewer in VIEWERS * 4:
        await see(stage, viewer)


async def prepare(stage: Stage, number: int, kind: str) -> None:
    """Store a picture and its share, and have everybody see it."""
    stage.name = f"p{number}-{kind.replace(' ', '-').replace(',', '')}.png"
    is_copy = kind.startswith("copy")
    for folder in ("from", "to"):
        await stage.site.api("POST", "/file/create", {"uri": stage.site.uri(folder), "type": "folder"})
    await stage.site.put(f"from/{stage.name}" if is_copy else stage.name)
    stage.share_id = await stage.site.share("")
    if kind == "restore":
        await stage.site.api("DELETE", "/file", {"uris": [stage.site.uri(stage.name)]})
    await seen_by_all(stage)


async def seconds_until_right(stage: Stage, viewer: str, since: float) -> float:
    """Ask until the answer is Cloudreve's, and tell how long after the change the last wrong one was asked for."""
    _, uri, token = stage.views()[viewer]
    wrong_until = since
    while (asked := time.monotonic()) < since + GIVE_UP_S:
        eyes = stage.site.token if viewer == "published" else token
        if await see(stage, viewer) == await stage.site.truth(uri, eyes):
            return wrong_until - since
        wrong_until = asked
        await asyncio.sleep(PAUSE_S)
    return GIVE_UP_S


async def play(stage: Stage, make: Make, origin: str, *, paused_s: float = 0.0) -> dict[str, float]:
    """Make a change, with Redis paused meanwhile if so wanted, and measure all viewers."""
    if paused_s:
        stage.redis.stop()
    await make(stage, origin)
    made = time.monotonic()
    if paused_s:
        await asyncio.sleep(paused_s)
        stage.redis.go_on()
        made = time.monotonic()
    times = await asyncio.gather(*(seconds_until_right(stage, viewer, made) for viewer in VIEWERS))
    return dict(zip(VIEWERS, times, strict=True))


@asynccontextmanager
async def stage_of(url: str, email: str, password: str, *, is_watched: bool) -> AsyncIterator[Stage]:
    """Start Redis and two gateways, sign in, and take everything down again."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        redis = RedisProcess(Path(folder))
        await redis.start()
        stack.callback(redis.kill)
        client = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        site = CloudreveSite(client, url)
        await site.sign_in(email, password)
        secret = Path(folder) / "password"
        secret.write_text(password, encoding="utf-8")
        published = {"prefix": f"cloudreve://my/{site.folder}", "email": email, "secret_file": str(secret)}
        sections: dict[str, object] = {
            "server": {"host": "127.0.0.1", "port": 0, "passthrough": True, "drain_s": 0.0},
            "admin": {"host": "127.0.0.1", "port": 0},
            "cloudreve": {"url": url},
            "redis": {"url": redis.url},
            "pictures": {"formats": []},
            "publish": [published],
            "watch": {"max_subscriptions": 64, "email": email, "secret_file": str(secret)}
            if is_watched
            else {"max_subscriptions": 0},
            "log": {"level": "error"},
        }
        settings = Settings.model_validate(sections)
        ports = [
            (await stack.enter_async_context(running(settings, Clock(lambda ahead=ahead: time.time() + ahead)))).port
            for ahead in (0.0, APART_S)
        ]
        a, b = (f"http://127.0.0.1:{port}" for port in ports)
        yield Stage(site, client, a, b, redis)


async def drill(url: str, email: str, password: str, kinds: list[str], *, is_watched: bool) -> int:
    """Play every change in every way, print the table, and give 1 where a goal was missed."""
    table = Table("change", "way", *VIEWERS, "goal", title="seconds until right")
    missed, number = 0, 0
    async with stage_of(url, email, password, is_watched=is_watched) as stage:
        for kind, (by_page, by_dav) in CHANGES.items():
            if kinds and kind not in kinds:
                continue
            for way in ways_of(stage, by_page, by_dav, is_watched=is_watched):
                number += 1
                await prepare(stage, number, kind)
                if way.is_direct:
                    await asyncio.sleep(HEARD_S)
                    await seen_by_all(stage)
                try:
                    times = await play(stage, way.make, way.origin, paused_s=way.paused_s)
                except Refused as refused:
                    table.add_row(kind, way.name, *[""] * len(VIEWERS), str(refused))
                    stage.redis.go_on()
                    continue
                is_missed = any(times[viewer] > way.goal_s(viewer) for viewer in VIEWERS)
                missed += is_missed
                table.add_row(
                    kind, way.name, *(f"{times[each]:.2f}" for each in VIEWERS), "missed" if is_missed else "met"
                )
    Console(width=140).print(table)
    return int(missed > 0)


def main() -> int:
    """Read the command line, and do as it says."""
    parser = ArgumentParser(prog="deploy/changes", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cloudreve", default="http://127.0.0.1:5212", help="a real Cloudreve")
    parser.add_argument("--email", default="alice@example.org", help="a user of it, whose files are used")
    parser.add_argument("--password", required=True)
    parser.add_argument("--watch", action="store_true", help="make changes directly at Cloudreve, with live events")
    parser.add_argument("kind", nargs="*", help=f"some of: {', '.join(CHANGES)}; without any, all")
    asked = parser.parse_args()
    return asyncio.run(drill(asked.cloudreve, asked.email, asked.password, asked.kind, is_watched=asked.watch))


if __name__ == "__main__":
    sys.exit(main())
