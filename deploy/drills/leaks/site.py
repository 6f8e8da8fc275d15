"""The Cloudreve under test, as people use it: a real one, in which the drill has users of its own."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, urlsplit
from uuid import uuid4

import aiohttp
from yarl import URL

from deploy.drills.leaks.pictures import NotWhole, number_of
from deploy.drills.leaks.truth import PUBLIC, Share, Target

BUSY = frozenset({-1, 40004, 40073, 50004})
"""Codes that pass: somebody else has locked the file, or its thumbnail is being made."""
BROKEN = -1
"""Stands for what Cloudreve grants and cannot show: a thumbnail whose bytes are gone after a change in its making."""
_TRIES = 40
_PAUSE_S = 0.25


class NotDone(Exception):
    """Cloudreve has refused a change."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with an account."""

    name: str
    id: str
    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)


class Site(Protocol):
    """A Cloudreve to which users bring changes; `door` is an address of it, or of a gateway in front."""

    url: str
    users: dict[str, User]

    async def put(self, door: str, owner: str, path: str, body: bytes) -> None:
        """Upload a file, or a new version."""

    async def move(self, door: str, owner: str, old: str, folder: str) -> None:
        """Move a file or folder into another folder."""

    async def delete(self, door: str, owner: str, path: str) -> None:
        """Delete a file for good."""

    async def share(self, owner: str, folder: str, password: str) -> str:
        """Share a folder; give the share's id."""

    async def close(self, owner: str, share: Share) -> None:
        """Delete a share."""

    async def hint(self, owner: str, folder: str) -> str:
        """List a folder, and give the context hint that comes with it."""

    async def folder(self, owner: str, path: str) -> None:
        """Make a folder."""


def uri_of(target: Target, users: dict[str, User]) -> str:
    """Write a File URI."""
    path = quote(target.path)
    if target.root == "share":
        return f"cloudreve://{target.name}{target.password and ':' + target.password}@share{path}"
    return f"cloudreve://{users[target.name].id}@my{path}" if target.root == "id" else f"cloudreve://my{path}"


async def see(http: aiohttp.ClientSession, site: Site, who: str, uri: str) -> int:
    """Ask Cloudreve itself; give the version that it shows to somebody, 0 for none, or BROKEN."""
    fields = {"Authorization": f"Bearer {site.users[who].token}"} if who != PUBLIC else {}
    where = URL(f"{site.url}/api/v4/file/thumb?uri={quote(uri, safe='')}", encoded=True)
    for _ in range(_TRIES):
        async with http.get(where, headers=fields) as response:
            answer = await response.json()
        if answer["code"] not in BUSY:
            break
        await asyncio.sleep(_PAUSE_S)
    if answer["code"] != 0:
        return 0
    async with http.get(URL(answer["data"]["url"], encoded=True)) as response:
        body = await response.read()
    with suppress(NotWhole):
        return 0 if body.startswith(b"{") else number_of(body)
    return BROKEN


class RealSite:
    """One that is asked by HTTP."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url.rstrip("/")
        self.users: dict[str, User] = {}
        self._http = http

    async def register(self, *names: str) -> None:
        """Make accounts that nobody else uses, and sign them in."""
        for name in names:
            credentials = {"email": f"{name}-{uuid4().hex[:12]}@example.org", "password": uuid4().hex}
            await self._send("POST", self.url, "/user", {**credentials, "language": "en-US"})
            told = await self._send("POST", self.url, "/session/token", credentials)
            token = told["token"]["access_token"]
            self.users[name] = User(name, told["user"]["id"], credentials["email"], credentials["password"], token)

    async def put(self, door: str, owner: str, path: str, body: bytes) -> None:
        """Upload a file, or a new version."""
        where = f"/file/content?uri={quote(_my(path), safe='')}"
        await self._send("PUT", door, where, body, owner)

    async def move(self, door: str, owner: str, old: str, folder: str) -> None:
        """Move a file or folder into another folder."""
        words = {"uris": [_my(old)], "dst": _my(folder), "copy": False}
        await self._send("POST", door, "/file/move", words, owner)

    async def delete(self, door: str, owner: str, path: str) -> None:
        """Delete a file for good."""
        await self._send("DELETE", door, "/file", {"uris": [_my(path)], "skip_soft_delete": True}, owner)

    async def share(self, owner: str, folder: str, password: str) -> str:
        """Share a folder; give the share's id."""
        words: dict[str, Any] = {"uri": _my(folder), "is_private": bool(password)}
        told = await self._send("PUT", self.url, "/share", words | ({"password": password} if password else {}), owner)
        return str(urlsplit(told).path.split("/")[2])

    async def close(self, owner: str, share: Share) -> None:
        """Delete a share."""
        await self._send("DELETE", self.url, f"/share/{share.id}", None, owner)

    async def hint(self, owner: str, folder: str) -> str:
        """List a folder, and give the context hint that comes with it."""
        told = await self._send("GET", self.url, f"/file?uri={quote(_my(folder), safe='')}", None, owner)
        return str(told["context_hint"])

    async def folder(self, owner: str, path: str) -> None:
        """Make a folder."""
        await self._send("POST", self.url, "/file/create", {"uri": _my(path), "type": "folder"}, owner)

    async def _send(self, method: str, door: str, path: str, value: object, user: str = "") -> Any:  # noqa: ANN401 - of the form that the call has
        """Send a call, again while it is busy; NotDone for a refusal."""
        raw = value if isinstance(value, bytes) else None if value is None else json.dumps(value).encode()
        fields = {"Content-Type": "application/octet-stream" if isinstance(value, bytes) else "application/json"}
        if user:
            fields["Authorization"] = f"Bearer {self.users[user].token}"
        where = URL(f"{door}/api/v4{path}", encoded=True)
        for _ in range(_TRIES):
            async with self._http.request(method, where, data=raw, headers=fields) as response:
                answer: dict[str, Any] = await response.json(content_type=None)
            if answer.get("code") == 0:
                return answer.get("data")
            if answer.get("code") not in BUSY:
                break
            await asyncio.sleep(_PAUSE_S)
        raise NotDone(f"{method} {path.partition('?')[0]}: {answer}")


def _my(path: str) -> str:
    return f"cloudreve://my{quote(path)}"
