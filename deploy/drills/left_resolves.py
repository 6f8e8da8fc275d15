"""`deploy/left-resolves`: what Cloudreve shows after the clients of resolves have left, with and without a gateway."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import aiohttp
from yarl import URL

from deploy.drills.gateway import Gateway
from deploy.drills.leaks.pictures import draw
from deploy.drills.leaks.site import NotDone, RealSite, see
from deploy.drills.until_told import until_told

USERS = ("left-1", "left-2", "left-3", "left-4")
PATHS = ("/left/a.png", "/left/b.png")
"""The same for all users: Cloudreve looks a generated thumbnail's file up by its path."""
LEAVERS = 3
LONGEST_S = 0.03
"""How long a client waits before it leaves, at most."""
DESCRIPTORS = 4096


class Trial:
    """Uploads of all users, each asked for by clients that leave, then compared with what Cloudreve shows."""

    def __init__(self, http: aiohttp.ClientSession, site: RealSite, door: str) -> None:
        self._http = http
        self._site = site
        self._door = door
        """The URL that resolves the thumbnail of the File URI that is appended."""
        self._numbers = count(1)
        self._owners: dict[int, str] = {}
        self.counts: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        """Go on for so long."""
        ends = time.monotonic() + seconds
        await asyncio.gather(*(self._repeat(user, path, ends) for user in self._site.users for path in PATHS))

    async def _repeat(self, user: str, path: str, ends: float) -> None:
        uri = f"cloudreve://my{path}"
        while time.monotonic() < ends:
            number = next(self._numbers)
            self._owners[number] = user
            try:
                await self._site.put(self._site.url, user, path, draw(number))
            except NotDone:
                self.counts["files locked for more than ten seconds"] += 1
                return
            for _ in range(LEAVERS):
                await self._leave(user, uri)
            shown = await see(self._http, self._site, user, uri)
            self.counts["pictures compared"] += 1
            self.counts["pictures of another user"] += self._owners.get(shown, user) != user

    async def _leave(self, user: str, uri: str) -> None:
        where = URL(self._door + quote(uri, safe=""), encoded=True)
        fields = {"Authorization": f"Bearer {self._site.users[user].token}"}
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(random.uniform(0, LONGEST_S)):  # noqa: S311 - no secret
                async with self._http.get(where, headers=fields) as response:
                    await response.read()


async def compare(url: str, seconds: float) -> dict[str, Counter[str]]:
    """Let clients leave Cloudreve itself, then a gateway; give the counts of each."""
    told = {}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        with TemporaryDirectory(prefix="thumb-proxy-left-") as folder:
            gateway = Gateway(url, Path(folder) / "log", DESCRIPTORS, CLOUDREVE__IMAGE_HOSTS='["127.0.0.1"]')
            try:
                await gateway.start()
                doors = {
                    "Cloudreve itself": f"{url}/api/v4/file/thumb?uri=",
                    "the gateway": f"http://127.0.0.1:{gateway.port}/thumb?uri=",
                }
                for name, door in doors.items():
                    site = RealSite(url, http)
                    await site.register(*USERS)
                    for user in USERS:
                        await site.folder(user, "/left")
                    trial = Trial(http, site, door)
                    await trial.run(seconds)
                    told[name] = trial.counts
            finally:
                gateway.kill()
    return told


def main() -> int:
    """Read the command line, and compare; 1 when pictures of others were shown to those who left the gateway."""
    parser = ArgumentParser(
        prog="deploy/left-resolves",
        description="Users upload files of the same name to the Cloudreve that CLOUDREVE_URL names, and clients leave "
        "their resolves within 30 ms: first Cloudreve's, then a gateway's. Counts the thumbnails that Cloudreve then "
        "shows of a file of another user.",
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for each of the two")
    told = asyncio.run(until_told(compare(os.environ["CLOUDREVE_URL"], parser.parse_args().seconds)))
    for name, counts in told.items():
        sys.stdout.write(f"{name}: {', '.join(f'{number} {what}' for what, number in sorted(counts.items()))}\n")
    return 1 if told["the gateway"]["pictures of another user"] else 0


if __name__ == "__main__":
    sys.exit(main())
