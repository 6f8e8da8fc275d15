"""The changes of `deploy/changes`, and the ways in which each can be made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp

from deploy.drills.cloudreve_site import CloudreveSite, painted
from deploy.drills.redis_process import RedisProcess

GOALS_S = {"author": 0.1}
THROUGH_S, DIRECT_S = 2.0, 10.0
SHARE_POLL_S = 0.05


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
    """Let the share end, and wait until it has: of an edit, 4.14 takes no password."""
    await stage.site.api("POST", f"/share/{stage.share_id}", {"uri": stage.site.uri(""), "expire": 1}, origin)
    shared = f"cloudreve://{stage.share_id}@share/{stage.name}"
    while await stage.site.truth(shared, "") is not None:  # noqa: ASYNC110 - Cloudreve tells nobody
        await asyncio.sleep(SHARE_POLL_S)


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


@dataclass(frozen=True, slots=True)
class Way:
    """How a change is made."""

    name: str
    make: Make
    origin: str
    paused_s: float = 0.0
    """For how long Redis is paused meanwhile."""
    is_direct: bool = False

    def goal_s(self, viewer: str) -> float:
        """Give the seconds after which a viewer is to see the right picture."""
        return DIRECT_S if self.is_direct else GOALS_S.get(viewer, THROUGH_S)


def ways_of(stage: Stage, by_page: Make, by_dav: Make | None, *, is_watched: bool) -> list[Way]:
    """Give the ways of a change: through the gateway, or directly where that is heard."""
    if is_watched:
        direct = {"directly": by_page, "directly, WebDAV": by_dav}
        return [Way(name, make, stage.site.origin, is_direct=True) for name, make in direct.items() if make is not None]
    through = {"page": by_page, "WebDAV": by_dav}
    return [
        Way(f"{name}, Redis paused" if paused_s else name, make, stage.a, paused_s)
        for name, make in through.items()
        if make is not None
        for paused_s in (0.0, 1.0)
    ]
