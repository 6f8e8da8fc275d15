"""Steps in any order, several at once: files change through any replica, and viewers look on at all of them."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from urllib.parse import quote

import aiohttp
from yarl import URL

from deploy.drills.interleavings.stage import Replica, Stage
from deploy.drills.interleavings.versions import Late, Pause, View
from proxy.standin.painting import paint

AT_ONCE = 6
WEIGHTS = {"view": 70, "link": 10, "follow": 20, "change": 14, "pause": 0.3, "restart": 0.3}
PAUSE_S = (0.05, 1.0)
SETTLE_S = 20.0
VIEWERS = ("owner", "owner by id", "share", "published")
CHANGES = ("put", "chunks", "WebDAV", "delete", "WebDAV delete", "metadata")
_DAV = "Basic " + base64.b64encode(b"alice:x").decode()


@dataclass
class Findings:
    """The counts of one run."""

    counts: Counter[str] = field(default_factory=Counter)
    late: list[Late] = field(default_factory=list)

    @property
    def wrong(self) -> list[Late]:
        """List old pictures that were shown past their bound."""
        return [late for late in self.late if late.is_wrong]

    @property
    def longest_s(self) -> float:
        """Tell for how long after its end an old picture was shown at most."""
        return max((late.seconds for late in self.late), default=0.0)


class Play:
    """One drill."""

    def __init__(self, stage: Stage, seed: int, *, has_pauses: bool = True) -> None:
        self._stage = stage
        self._chance = Random(seed)  # noqa: S311 - to be played again, as far as that goes
        self._weights = WEIGHTS if has_pauses else {**WEIGHTS, "pause": 0.0}
        self._token = stage.cloudreve.token(life_s=86400.0)
        self._views: list[View] = []
        self._links: list[tuple[str, str]] = []
        self._etags: dict[str, tuple[str, bytes]] = {}
        self._steady = asyncio.Lock()
        """Held while Redis is away or a replica is started anew: a change that is told to nobody then ends with it."""
        self._left = 0
        self.findings = Findings()

    async def steps(self, count: int) -> Findings:
        """Do so many things; then see that everybody sees the truth."""
        self._left = count
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._go_on())
        await self._settle()
        found = (self._stage.versions.late(view, self._stage.pauses) for view in self._views)
        self.findings.late = [late for late in found if late is not None]
        return self.findings

    async def _go_on(self) -> None:
        acts = {
            "view": self._view,
            "link": self._link,
            "follow": self._follow,
            "change": self._change,
            "pause": self._pause,
            "restart": self._restart,
        }
        while self._left > 0:
            self._left -= 1
            [what] = self._chance.choices(list(acts), [self._weights[name] for name in acts])
            self.findings.counts[what] += 1
            await acts[what]()

    def _uri(self, viewer: str, path: str) -> tuple[str, dict[str, str]]:
        library, token = self._stage.cloudreve.library, {"Authorization": f"Bearer {self._token}"}
        match viewer:
            case "owner":
                return f"cloudreve://my{path}", token
            case "owner by id":
                return f"cloudreve://{library.alice.id}@my{path}", token
            case "share":
                return f"cloudreve://{library.share.id}@share/{path.rpartition('/')[2]}", {}
        return f"cloudreve://my{path}", {}

    async def _view(self) -> None:
        """Have somebody look at a file."""
        viewer, path = self._chance.choice(VIEWERS), self._chance.choice(self._stage.paths)
        uri, fields = self._uri(viewer, path)
        number = self._chance.randrange(len(self._stage.replicas))
        if self._etags and self._chance.random() < 0.2:  # noqa: PLR2004 - some browsers have it already
            etag = self._chance.choice(list(self._etags)[-20:])
            fields = {**fields, "If-None-Match": etag}
        await self._see(viewer, number, path, f"/thumb?uri={quote(uri, safe='')}", fields)

    async def _link(self) -> None:
        """Have a page learn the sealed URL of a picture."""
        viewer, path = self._chance.choice(VIEWERS[:3]), self._chance.choice(self._stage.paths)
        link = await self._linked(viewer, path, self._chance.randrange(len(self._stage.replicas)))
        self._links += [(path, link)] if link else []

    async def _linked(self, viewer: str, path: str, number: int) -> str:
        uri, fields = self._uri(viewer, path)
        _, _, body = await self._ask(number, "GET", f"/api/v4/file/thumb?uri={quote(uri, safe='')}", fields)
        with suppress(ValueError, TypeError, KeyError):
            return URL(json.loads(body)["data"]["url"]).raw_path_qs
        return ""

    async def _follow(self) -> None:
        """Have a browser follow a sealed URL."""
        if self._links:
            path, link = self._chance.choice(self._links[-8:])
            await self._see("sealed URL", self._chance.randrange(len(self._stage.replicas)), path, link, {})

    async def _see(self, viewer: str, number: int, path: str, target: str, fields: dict[str, str]) -> None:
        asked = time.monotonic()
        status, etag, body = await self._ask(number, "GET", target, fields)
        answered = time.monotonic()
        self.findings.counts[f"{viewer}: {status}"] += 1
        if status == 304:  # noqa: PLR2004
            body = self._etags[fields["If-None-Match"]][1]
        if status in (200, 304):
            self._etags[etag] = (path, body)
            self._views.append(View(viewer, number, path, body, asked, answered))

    async def _change(self) -> None:
        """Change a file through a replica."""
        path, number = self._chance.choice(self._stage.paths), self._chance.randrange(len(self._stage.replicas))
        async with self._stage.lock(path):
            before, begun = self._stage.body(path), time.monotonic()
            await self._make(self._chance.choice(CHANGES if before is not None else CHANGES[:3]), path, number)
            after = self._stage.body(path)
            if after != before:
                self._stage.versions.replace(path, after, begun, time.monotonic(), number)

    async def _make(self, how: str, path: str, number: int) -> None:
        self.findings.counts[how] += 1
        uri, name = f"cloudreve://my{path}", f"/dav{path}"
        token = {"Authorization": f"Bearer {self._token}"}
        listed = {**token, "Content-Type": "application/json"}
        match how:
            case "put":
                await self._ask(number, "PUT", f"/api/v4/file/content?uri={quote(uri, safe='')}", token, paint(1))
            case "chunks":
                asked = json.dumps({"uri": uri, "size": 9}).encode()
                _, _, begun = await self._ask(number, "PUT", "/api/v4/file/upload", listed, asked)
                session = json.loads(begun)["data"]["session_id"]
                await self._ask(number, "POST", f"/api/v4/file/upload/{session}/0", token, paint(2))
            case "WebDAV":
                await self._ask(number, "PUT", name, {"Authorization": _DAV}, paint(3))
            case "delete":
                await self._ask(number, "DELETE", "/api/v4/file", listed, json.dumps({"uris": [uri]}).encode())
            case "WebDAV delete":
                await self._ask(number, "DELETE", name, {"Authorization": _DAV})
            case _:
                patch = {"uris": [uri], "patches": [{"key": "tag:x", "value": "y"}]}
                await self._ask(number, "PATCH", "/api/v4/file/metadata", listed, json.dumps(patch).encode())

    async def _pause(self) -> None:
        """Let Redis hang for a while."""
        async with self._steady:
            begun = time.monotonic()
            self._stage.redis.stop()
            await asyncio.sleep(self._chance.uniform(*PAUSE_S))
            self._stage.redis.go_on()
            self._stage.pauses.append(Pause(begun, time.monotonic()))

    async def _restart(self) -> None:
        """Start a replica anew, when all that it had to tell has been told."""
        async with self._steady:
            number = self._chance.randrange(len(self._stage.replicas))
            replica = self._stage.replicas[number]
            for path in self._stage.paths:
                await self._stage.lock(path).acquire()
            try:
                await _has_told(replica)
                await replica.close()
                await replica.start()
            finally:
                for path in self._stage.paths:
                    self._stage.lock(path).release()

    async def _ask(
        self, number: int, method: str, target: str, fields: dict[str, str], body: bytes = b""
    ) -> tuple[int, str, bytes]:
        """Ask a replica; 0 where it is not there, or goes meanwhile."""
        url = self._stage.replicas[number].url
        if not url:
            return 0, "", b""
        try:
            asked = self._stage.http.request(method, url + target, headers=fields, data=body or None)
            async with asked as response:
                return response.status, response.headers.get("ETag", ""), await response.read()
        except aiohttp.ClientError:
            return 0, "", b""

    async def _settle(self) -> None:
        """Wait until every viewer at every replica sees the present picture, and no other; raise TimeoutError."""
        async with asyncio.timeout(SETTLE_S):
            for path in self._stage.paths:
                wanted = self._stage.versions.current(path)
                for viewer in VIEWERS:
                    uri, fields = self._uri(viewer, path)
                    for number in range(len(self._stage.replicas)):
                        while await self._shown(number, uri, fields) != wanted:  # noqa: ASYNC110 - it tells nobody
                            await asyncio.sleep(0.05)
                if wanted is not None:
                    await self._see("sealed URL", 0, path, await self._linked("owner", path, 0), {})

    async def _shown(self, number: int, uri: str, fields: dict[str, str]) -> bytes | None:
        status, _, body = await self._ask(number, "GET", f"/thumb?uri={quote(uri, safe='')}", fields)
        return body if status == 200 else None  # noqa: PLR2004


async def _has_told(replica: Replica) -> None:
    """Wait until a replica's changes are known to the log."""
    while replica.waiting > 0:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.02)
