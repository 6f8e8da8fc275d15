"""A gallery in a real Cloudreve: photographs in a folder of their own, shared with everybody, gone at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp

_AT_A_TIME = 4
_GENERATING = {40073, 50004}
_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Account:
    """Where to sign in, and as whom."""

    url: str
    email: str
    password: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """The File URIs of its pictures, and the thumbnails that Cloudreve has made of them."""

    uris: list[str]
    thumbnails: list[bytes]


class Cloudreve:
    """Its API, as the owner of the gallery uses it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def send(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401 - any JSON
        """Do something; raise RuntimeError where Cloudreve does not."""
        asked = self._session.request(method, f"{self._url}/api/v4{path}", headers=self._headers, **options)
        async with asked as response:
            told = await response.json()
        if told["code"]:
            raise RuntimeError(f"{method} {path}: {told['code']} {told.get('msg')}")
        return told.get("data")

    async def thumbnail(self, uri: str) -> bytes:
        """Ask until it has been generated."""
        while True:
            asked = self._session.get(f"{self._url}/api/v4/file/thumb", params={"uri": uri})
            async with asked as response:
                told = await response.json()
            if told["code"] not in _GENERATING:
                break
            await asyncio.sleep(_PAUSE_S)
        if told["code"]:
            raise RuntimeError(f"no thumbnail: {told['code']} {told.get('msg')}")
        async with self._session.get(told["data"]["url"]) as response:
            return await response.read()


@asynccontextmanager
async def gallery(account: Account, photographs: Sequence[bytes]) -> AsyncIterator[Gallery]:
    """Upload and share; delete at the end."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        cloudreve = Cloudreve(session, account.url, await _token(session, account))
        folder = f"cloudreve://my/gallery-{uuid4().hex}"
        await cloudreve.send("POST", "/file/create", json={"uri": folder, "type": "folder"})
        try:
            for number, body in enumerate(photographs):
                await cloudreve.send("PUT", "/file/content", params={"uri": f"{folder}/{number}.jpg"}, data=body)
            link = await cloudreve.send("PUT", "/share", json={"uri": folder, "is_private": False})
            share = urlsplit(link).path.split("/")[2]
            uris = [f"cloudreve://{share}@share/{number}.jpg" for number in range(len(photographs))]
            yield Gallery(uris, await _each(uris, cloudreve))
        finally:
            await cloudreve.send("DELETE", "/file", json={"uris": [folder], "skip_soft_delete": True})


async def _each(uris: Sequence[str], cloudreve: Cloudreve) -> list[bytes]:
    """Have thumbnails made, few at a time: Cloudreve locks the folder meanwhile."""
    places = asyncio.Semaphore(_AT_A_TIME)

    async def made(uri: str) -> bytes:
        async with places:
            return await cloudreve.thumbnail(uri)

    return await asyncio.gather(*map(made, uris))


async def _token(session: aiohttp.ClientSession, account: Account) -> str:
    signing_in = {"email": account.email, "password": account.password}
    async with session.post(f"{account.url}/api/v4/session/token", json=signing_in) as response:
        told = await response.json()
    if told["code"]:
        raise RuntimeError(f"no sign-in as {account.email}: {told['code']} {told.get('msg')}")
    return str(told["data"]["token"]["access_token"])
