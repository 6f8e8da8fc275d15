"""The Cloudreves that a whole scene is played on: the stand-in always, a real one when the environment names it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from hmac import digest
from typing import Protocol
from urllib.parse import quote, urlsplit
from uuid import uuid4

import aiohttp

from proxy.standin.painting import paint
from proxy.standin.site import SECRET
from proxy.standin.standin import StandIn
from tests.harness.cloudreve_targets import Client, StandInTarget, Target, opened


class Site(Protocol):
    """A Cloudreve, and a way to put a fresh gallery into it."""

    target: Target

    async def gallery(self, pictures: int) -> list[str]:
        """Make a public album without thumbnails; give the pictures' File URIs in its share."""


class StandInSite:
    """The stand-in."""

    def __init__(self, cloudreve: StandIn) -> None:
        self.cloudreve = cloudreve
        self.target: Target = StandInTarget(cloudreve)

    async def gallery(self, pictures: int) -> list[str]:
        """Make one at once."""
        return self.cloudreve.library.gallery(pictures)[1]


class RealSite:
    """A real Cloudreve, which gets the pictures by upload."""

    def __init__(self, target: Target, session: aiohttp.ClientSession) -> None:
        self.target = target
        self._client = Client(target, session)
        self._headers = {"Authorization": f"Bearer {target.alice}", "Content-Type": "application/json"}
        self._folders: list[str] = []

    async def gallery(self, pictures: int) -> list[str]:
        """Upload one and share it."""
        folder = f"cloudreve://my/gallery-{uuid4().hex}"
        self._folders.append(folder)
        await self._send("POST", "/api/v4/file/create", {"uri": folder, "type": "folder"})
        for number in range(pictures):
            await self._client.fresh(uri=f"{folder}/{number}.png", body=paint(number))
        shared = await self._send("PUT", "/api/v4/share", {"uri": folder, "is_private": False})
        share = urlsplit(shared).path.split("/")[2]
        return [f"cloudreve://{share}@share/{number}.png" for number in range(pictures)]

    async def tidy(self) -> None:
        """Delete what was uploaded."""
        if self._folders:
            await self._send("DELETE", "/api/v4/file", {"uris": self._folders, "skip_soft_delete": True})

    async def _send(self, method: str, path: str, value: object) -> str:
        reply = await self._client.send(method, path, self._headers, json.dumps(value).encode())
        assert reply.code == 0, reply.json
        return str(reply.json.get("data"))


@asynccontextmanager
async def site_of(name: str) -> AsyncIterator[Site]:
    """Start the stand-in, or reach the real one and clean up behind."""
    if name == "stand-in":
        async with StandIn(size=(40, 30)) as cloudreve:
            yield StandInSite(cloudreve)
        return
    async with opened(name) as target, aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        real = RealSite(target, session)
        yield real
        await real.tidy()


def expired(token: str) -> str:
    """Make an access token that has run out: signed as the stand-in signs, so that a real site finds it forged too."""
    head, body, _ = token.split(".")
    claims = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    signed = f"{head}.{_bare(json.dumps(claims | {'exp': claims['exp'] - 100_000}).encode())}"
    return f"{signed}.{_bare(digest(SECRET.encode(), signed.encode(), sha256))}"


def thumb(uri: str) -> str:
    """Give the path and query that ask for a File URI."""
    return f"/thumb?uri={quote(uri, safe='')}"


def _bare(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
