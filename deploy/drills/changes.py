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
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import aiohttp
from rich.console import Console
from rich.table import Table

from deploy.drills.cloudreve_site import CloudreveSite, Refused, painted
from deploy.drills.redis_process import RedisProcess
from proxy.settings import Settings
from proxy.upstream.clock import Clock
from proxy.wiring.process import running

APART_S = 1.0
GIVE_UP_S = 15.0
PAUSE_S = 0.05
VIEWERS = ("author", "other replica", "share", "published")
GOALS_S = {"author": 0.1}
THROUGH_S, DIRECT_S = 2.0, 10.0


@dataclass
class Stage:
    """What a change is made on."""

    site: CloudreveSite
    client: aiohttp.ClientSession
    a: str
    b: str
    redis: RedisProcess
    name: str = ""
    share_id: str = ""

    def views(self) -> dict[str, tuple[str, str, str]]:
        """Give each viewer's gateway, File URI and token."""
        site, shared = self.site, f"cloudreve://{self.share_id}@share/{self.name}"
        own = site.uri(self.name)
        mine = f"cloudreve://my/{site.folder}/{self.name}"
        return {
            "author": (self.a, own, site.token),
            "other replica": (self.b, own, site.token),
            "share": (self.b, shared, ""),
            "published": (self.b, mine, ""),
        }


Make = Callable[[Stage, str], Awaitable[object]]


async def edit_share(stage: Stage, origin: str) -> None:
    """Protect the share by a password."""
    body = {"uri": stage.site.uri(""), "is_private": True, "password": "pw123"}
    await stage.site.api("POST", f"/share/{stage.share_id}", body, origin)


async def restore(stage: Stage, origin: str) -> None:
    """Bring a deleted file back from the trash."""
    listed = await stage.site.api("GET", f"/file?uri={quote('cloudreve://trash', safe='')}&page_size=200")
    paths = [file["path"] for file in listed["files"] if file["name"] == stage.name]
    found = paths or [file["path"] for file in listed["files"] if stage.name in str(file)]
    await stage.site.api("POST", "/file/restore", {"uris": found}, origin)


CHANGES: dict[str, tuple[Make, Make | None]] = {
    "new version": (lambda s, o: s.site.put(s.name, o), lambda s, o: s.site.dav("PUT", s.name, o, painted())),
    "new version, chunks": (lambda s, o: s.site.upload(s.name, o), None),
    "rename": (
        lambda s, o: s.site.api("POST", "/file/rename", {"uri": s.site.uri(s.name), "new_name": "x" + s.name}, o),
        lambda s, o: s.site.dav("MOVE", s.name, o, to="x" + s.name),
    ),
    "move": (
        lambda s, o: s.site.api("POST", "/file/move", {"uris": [s.site.uri(s.name)], "dst": s.site.uri("to")}, o),
        None,
    ),
    "copy to where nothing was": (
        lambda s, o: s.site.api(
            "POST", "/file/move", {"uris": [s.site.uri(f"from/{s.name}")], "dst": s.site.uri(""), "copy": True}, o
        ),
        lambda s, o: s.site.dav("COPY", f"from/{s.name}", o, to=s.name),
    ),
    "delete": (
        lambda s, o: s.site.api("DELETE", "/file", {"uris": [s.site.uri(s.name)]}, o),
        lambda s, o: s.site.dav("DELETE", s.name, o),
    ),
    "restore": (restore, None),
    "metadata": (
        lambda s, o: s.site.api(
            "PATCH",
            "/file/metadata",
            {"uris": [s.site.uri(s.name)], "patches": [{"key": "thumb:disabled", "value": ""}]},
            o,
        ),
        None,
    ),
    "share edited": (edit_share, None),
    "share deleted": (lambda s, o: s.site.api("DELETE", f"/share/{s.share_id}", None, o), None),
}


async def see(stage: Stage, viewer: str) -> bytes | None:
    """Ask as a viewer; None for anything but a picture."""
    gateway, uri, token = stage.views()[viewer]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with stage.client.get(f"{gateway}/thumb?uri={quote(uri, safe='')}", headers=headers) as response:
        body = await response.read()
        return body if response.status == 200 else None  # noqa: PLR2004


async def prepare(stage: Stage, number: int, kind: str) -> None:
    """Store a picture and its share, and have everybody see it often enough that it is kept in every way."""
    stage.name = f"p{number}-{kind.replace(' ', '-').replace(',', '')}.png"
    is_copy = kind.startswith("copy")
    for folder in ("from", "to"):
        await stage.site.api("POST", "/file/create", {"uri": stage.site.uri(folder), "type": "folder"})
    await stage.site.put(f"from/{stage.name}" if is_copy else stage.name)
    stage.share_id = await stage.site.share("")
    if kind == "restore":
        await stage.site.api("DELETE", "/file", {"uris": [stage.site.uri(stage.name)]})
    for viewer in VIEWERS * 4:
        await see(stage, viewer)


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
async def stage_of(url: str, email: str, password: str) -> AsyncIterator[Stage]:
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
    async with stage_of(url, email, password) as stage:
        for kind, (by_page, by_dav) in CHANGES.items():
            if kinds and kind not in kinds:
                continue
            ways: list[tuple[str, Make, str, float, float]] = [("page", by_page, stage.a, 0.0, THROUGH_S)]
            ways += [("WebDAV", by_dav, stage.a, 0.0, THROUGH_S)] if by_dav is not None else []
            ways += [("page, Redis paused", by_page, stage.a, 1.0, THROUGH_S)]
            ways += [("directly", by_page, stage.site.origin, 0.0, DIRECT_S)] if is_watched else []
            for way, make, origin, paused_s, goal_s in ways:
                number += 1
                await prepare(stage, number, kind)
                try:
                    times = await play(stage, make, origin, paused_s=paused_s)
                except Refused as refused:
                    table.add_row(kind, way, *[""] * len(VIEWERS), str(refused))
                    stage.redis.go_on()
                    continue
                goals = {viewer: goal_s if way == "directly" else GOALS_S.get(viewer, goal_s) for viewer in VIEWERS}
                is_missed = any(times[viewer] > goals[viewer] for viewer in VIEWERS)
                missed += is_missed
                table.add_row(kind, way, *(f"{times[each]:.2f}" for each in VIEWERS), "missed" if is_missed else "met")
    Console(width=140).print(table)
    return int(missed > 0)


def main() -> int:
    """Read the command line, and do as it says."""
    parser = ArgumentParser(prog="deploy/changes", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cloudreve", default="http://127.0.0.1:5212", help="a real Cloudreve")
    parser.add_argument("--email", default="alice@example.org", help="a user of it, whose files are used")
    parser.add_argument("--password", required=True)
    parser.add_argument("--watch", action="store_true", help="play changes directly at Cloudreve too")
    parser.add_argument("kind", nargs="*", help=f"some of: {', '.join(CHANGES)}; without any, all")
    asked = parser.parse_args()
    return asyncio.run(drill(asked.cloudreve, asked.email, asked.password, asked.kind, is_watched=asked.watch))


if __name__ == "__main__":
    sys.exit(main())
