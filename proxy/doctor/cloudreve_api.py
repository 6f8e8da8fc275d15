"""Asks Cloudreve for what the gateway itself never needs: shares, folders, OAuth apps, events."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote
from uuid import uuid4

import aiohttp
import msgspec
from yarl import URL

from proxy.domain.errors import UpstreamError
from proxy.settings import CloudreveSettings
from proxy.upstream.cloudreve import translated

EVENT_S = 5.0
"""How long the first event may take; Cloudreve says `subscribed` at once (docs/cloudreve.md, Events)."""
_MAX_BYTES = 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """Cloudreve's code and message, and its data, not read yet."""

    code: int
    msg: str
    data: msgspec.Raw

    def read(self, shape: type[T]) -> T:
        """Read the data as a shape; UpstreamError when it has another."""
        try:
            return msgspec.json.decode(self.data, type=shape)
        except msgspec.MsgspecError as error:
            raise UpstreamError("Cloudreve's answer has another shape than expected.") from error


class Share(msgspec.Struct):
    """The public facts about a share (docs/cloudreve.md, Shares and apps)."""

    name: str = ""
    source_type: int = 1
    """0 for a file, 1 for a folder."""
    url: str = ""


class Folder(msgspec.Struct):
    """The names in a folder."""

    files: list[Entry]


class Entry(msgspec.Struct):
    """A file (type 0) or folder (1)."""

    name: str
    type: int = 0


class _Envelope(msgspec.Struct):
    code: int
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


class CloudreveApi:
    """Cloudreve at its internal address, with a token or without."""

    def __init__(self, session: aiohttp.ClientSession, settings: CloudreveSettings) -> None:
        self._session = session
        self._settings = settings

    async def share(self, share: str) -> Answer:
        """Ask for the facts of a share."""
        return await self._ask("GET", f"/api/v4/share/info/{quote(share, safe='')}")

    async def folder(self, uri: str, token: str = "") -> Answer:
        """Ask for what is in a folder."""
        return await self._ask("GET", f"/api/v4/file?page_size=100&uri={quote(uri, safe='')}", token)

    async def app(self, client_id: str) -> Answer:
        """Ask for an OAuth app by its id."""
        return await self._ask("GET", f"/api/v4/session/oauth/app/{quote(client_id, safe='')}")

    async def consent(self, asked: dict[str, str], token: str) -> Answer:
        """Agree to an OAuth app in an account's name, for a code."""
        return await self._ask("POST", "/api/v4/session/oauth/consent", token, msgspec.json.encode(asked))

    async def subscribes(self, uri: str, token: str) -> bool:
        """Tell whether events of a folder come."""
        headers = {"Authorization": f"Bearer {token}", "X-Cr-Client-Id": str(uuid4()), "Accept": "text/event-stream"}
        url = self._url(f"/api/v4/file/events?uri={quote(uri, safe='')}")
        try:
            async with asyncio.timeout(EVENT_S), self._session.get(url, headers=headers) as response:
                return response.content_type == "text/event-stream" and bool(await response.content.readline())
        except (TimeoutError, aiohttp.ClientError):
            return False

    async def _ask(self, method: str, path: str, token: str = "", body: bytes | None = None) -> Answer:
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        headers |= {"Content-Type": "application/json"} if body is not None else {}
        timeout = aiohttp.ClientTimeout(self._settings.whoami_timeout_s, sock_connect=self._settings.connect_timeout_s)
        request = self._session.request(
            method, self._url(path), headers=headers, data=body, timeout=timeout, allow_redirects=False
        )
        try:
            async with request as response:
                return _read(response.status, await response.content.read(_MAX_BYTES))
        except (TimeoutError, aiohttp.ClientError) as error:
            raise translated(error) from error

    def _url(self, path: str) -> URL:
        return URL(self._settings.url + path, encoded=True)


def _read(status: int, body: bytes) -> Answer:
    try:
        envelope = msgspec.json.decode(body, type=_Envelope)
    except msgspec.MsgspecError as error:
        reason = "has no such call" if status == HTTPStatus.NOT_FOUND else f"answers with HTTP {status}"
        raise UpstreamError(f"Cloudreve {reason}.") from error
    return Answer(envelope.code, envelope.msg, envelope.data)
