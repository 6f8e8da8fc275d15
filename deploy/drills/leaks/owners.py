"""What owners change: files come, are replaced, move in and out of what others see, and go; shares open and close."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from random import Random

from deploy.drills.leaks.findings import Findings
from deploy.drills.leaks.pictures import draw
from deploy.drills.leaks.site import BROKEN, NotDone, see, uri_of
from deploy.drills.leaks.stage import PUBLISHED, REPLICAS, Stage
from deploy.drills.leaks.truth import Change, Share, Target, Truth

FOLDERS = (PUBLISHED, "/private", "/shared")
ROAMING = "d"
"""The name of the folder that moves from one of them to another."""
NAMES = ("a.png", "b.png", "c.png")
SHARES = 6
"""So many somebody has at most."""
_PASSWORD = "pass4711"  # noqa: S105 - of shares that live for seconds


class Owner:
    """One user, who does one thing after the other."""

    def __init__(self, name: str, truth: Truth, random: Random, findings: Findings, versions: Iterator[int]) -> None:
        self._versions = versions
        self.name = name
        self._truth = truth
        self._random = random
        self._findings = findings
        self._home = self._random.choice(FOLDERS)
        """Where the roaming folder is."""
        self.shares: list[Share] = []
        """Those of before too."""
        self.hints: list[str] = []

    async def settle(self, stage: Stage) -> None:
        """Make folders and first files."""
        for folder in (*FOLDERS, f"{self._home}/{ROAMING}"):
            await stage.site.folder(self.name, folder)
            for name in NAMES[:2]:
                await self._put(stage, f"{folder}/{name}")
        await self._share(stage)

    async def act(self, stage: Stage) -> None:
        """Change something."""
        deeds = (self._upload, self._upload, self._delete, self._move, self._roam, self._roam, self._share, self._close)
        deed = self._random.choice((*deeds, self._list))
        try:
            await deed(stage)
        except NotDone as error:
            self._findings.count(f"not done: {str(error).partition(':')[0]}")
        else:
            self._findings.count(f"owners: {deed.__name__.removeprefix('_')}")

    def places(self) -> list[str]:
        """List every path at which there may be something, or was."""
        folders = [*FOLDERS, *(f"{folder}/{ROAMING}" for folder in FOLDERS)]
        return [f"{folder}/{name}" for folder in folders for name in NAMES]

    async def _upload(self, stage: Stage) -> None:
        folder = self._random.choice((*FOLDERS, f"{self._home}/{ROAMING}"))
        await self._put(stage, f"{folder}/{self._random.choice(NAMES)}")

    async def _delete(self, stage: Stage) -> None:
        path = self._any()
        if path:
            change = self._truth.remove(self.name, path, time.monotonic())
            await self._send(stage, change, lambda door: stage.site.delete(door, self.name, path))

    async def _move(self, stage: Stage) -> None:
        path = self._any()
        folder = self._random.choice(FOLDERS)
        new = f"{folder}/{path.rpartition('/')[2]}"
        if path and not self._truth.latest(self.name, new):
            await self._bring(stage, path, folder)

    async def _roam(self, stage: Stage) -> None:
        """Move the roaming folder out of where it is, and put something new into it at once."""
        folder = self._random.choice([each for each in FOLDERS if each != self._home])
        await stage.site.folder(self.name, folder)
        await self._bring(stage, f"{self._home}/{ROAMING}", folder)
        self._home = folder
        await self._put(stage, f"{folder}/{ROAMING}/{self._random.choice(NAMES)}")

    async def _share(self, stage: Stage) -> None:
        if sum(share.id in self._open() for share in self.shares) < SHARES:
            folder = self._random.choice((FOLDERS[0], FOLDERS[2]))
            password, begun = self._random.choice(("", _PASSWORD)), time.monotonic()
            share = Share(await stage.site.share(self.name, folder, password), self.name, folder, password)
            self._truth.open(share, begun, time.monotonic())
            self.shares.append(share)

    async def _close(self, stage: Stage) -> None:
        still = [share for share in self.shares if share.id in self._open()]
        if len(still) > 1:
            share = self._random.choice(still)
            change = self._truth.close(share, time.monotonic())
            await stage.site.close(self.name, share)
            change.done(time.monotonic())

    async def _list(self, stage: Stage) -> None:
        folder = self._random.choice((*FOLDERS, f"{self._home}/{ROAMING}"))
        self.hints.append(await stage.site.hint(self.name, folder))

    async def _put(self, stage: Stage, path: str) -> None:
        version = next(self._versions)
        change = self._truth.put(self.name, path, version, time.monotonic())
        await self._send(stage, change, lambda door: stage.site.put(door, self.name, path, draw(version)))
        await self._wait_for(stage, path, version)

    async def _wait_for(self, stage: Stage, path: str, version: int) -> None:
        """Wait for the thumbnail: while it is being made for one version, Cloudreve keeps it for the next as well."""
        target, begun = Target("my", "", path), time.monotonic()
        seen = await see(stage.http, stage.site, self.name, uri_of(target, stage.site.users))
        if seen not in (0, BROKEN, version):
            self._findings.count("an old version at Cloudreve itself")
            self._truth.learn(self.name, target, seen, begun)

    async def _bring(self, stage: Stage, path: str, folder: str) -> None:
        new = f"{folder}/{path.rpartition('/')[2]}"
        change = self._truth.move(self.name, path, new, time.monotonic())
        await self._send(stage, change, lambda door: stage.site.move(door, self.name, path, folder))

    async def _send(self, stage: Stage, change: Change, send: Callable[[str], Awaitable[None]]) -> None:
        """Make a change, with pass-through half of them by way of a replica."""
        try:
            if stage.terms.has_passthrough and self._random.random() < 0.5:  # noqa: PLR2004
                async with stage.steady:
                    await send(stage.door(self._random.randrange(REPLICAS)))
            else:
                await send(stage.site.url)
        except NotDone:
            change.refused(time.monotonic())
            raise
        change.done(time.monotonic())

    def _any(self) -> str:
        paths = self._truth.paths(self.name)
        return self._random.choice(paths) if paths else ""

    def _open(self) -> set[str]:
        return {share.id for share in self.shares if share.fact.is_until > time.monotonic()}
