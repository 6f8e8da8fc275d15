"""Cloudreve's API, as far as the drill needs it: policies with an account each, uploads, shares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

PASSWORD = "pass-word-1"  # noqa: S105 - of accounts that live for minutes
USER_PERMISSIONS = "hAg="
S3 = {"s3_path_style": True, "region": "us-east-1", "thumb_generator_proxy": True, "chunk_size": 26214400}


@dataclass(frozen=True, slots=True)
class Owner:
    """An account of its own group, whose files go to one storage policy."""

    email: str
    token: str
    policy: int


class Site:
    """One Cloudreve, of which the first account is the administrator."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session: aiohttp.ClientSession | None = None
        self.admin = ""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(f"{self.url}/api/v4/")
        self.admin = await self.sign_in("admin@example.org")
        await self.call("PATCH", "admin/settings", {"settings": {"siteURL": self.url}}, self.admin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None  # noqa: S101 - it has been opened
        await self._session.close()

    async def call(self, method: str, path: str, body: object, token: str = "", *, is_raw: bool = False) -> Any:  # noqa: ANN401 - JSON
        """Call the API; give `data`, or raise with Cloudreve's words."""
        assert self._session is not None  # noqa: S101 - it has been opened
        headers = {"Content-Type": "application/octet-stream" if is_raw else "application/json"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        data = body if is_raw or body is None else json.dumps(body).encode()
        where = URL(path, encoded=True)
        async with self._session.request(method, where, data=data, headers=headers) as answer:
            told: dict[str, Any] = await answer.json(content_type=None)
            assert not told["code"], f"{method} {path.partition('?')[0]}: {told}"  # noqa: S101
            return told.get("data")

    async def sign_in(self, email: str) -> str:
        """Make an account, and sign in."""
        await self.call("POST", "user", {"email": email, "password": PASSWORD, "language": "en-US"})
        answer = await self.call("POST", "session/token", {"email": email, "password": PASSWORD})
        return str(answer["token"]["access_token"])

    async def owner(self, name: str, policy: Mapping[str, object]) -> Owner:
        """Make a storage policy, a group that uses it, and an account of that group."""
        rules = {"name": name, "dir_name_rule": f"{name}/{{uid}}", "file_name_rule": "{randomkey16}_{originname}"}
        made = await self.call("PUT", "admin/policy", {"policy": rules | dict(policy)}, self.admin)
        group = {"name": name, "max_storage": 2**33, "permissions": USER_PERMISSIONS, "settings": {}}
        group |= {"edges": {"storage_policies": {"id": made["id"]}}}
        number = (await self.call("PUT", "admin/group", {"group": group}, self.admin))["id"]
        email = f"{name}@example.org"
        user = {"email": email, "nick": name, "status": "active", "group_users": number, "settings": {}}
        await self.call("PUT", "admin/user", {"user": user, "password": PASSWORD}, self.admin)
        answer = await self.call("POST", "session/token", {"email": email, "password": PASSWORD})
        return Owner(email, str(answer["token"]["access_token"]), made["id"])

    async def album(self, owner: Owner, name: str, pictures: Mapping[str, bytes]) -> list[str]:
        """Upload pictures into a new folder, and share it; give their File URIs in the share."""
        folder = f"cloudreve://my/{name}"
        await self.call("POST", "file/create", {"uri": folder, "type": "folder"}, owner.token)
        for file, body in pictures.items():
            await self.put(owner, f"{folder}/{file}", body)
        link = await self.call("PUT", "share", {"uri": folder, "is_private": False}, owner.token)
        share = urlsplit(str(link)).path.split("/")[2]
        return [f"cloudreve://{share}@share/{file}" for file in pictures]

    async def thumbnail(self, uri: str) -> None:
        """Have the thumbnail of a shared picture made."""
        await self.call("GET", f"file/thumb?uri={quote(uri, safe='')}", None)

    async def put(self, owner: Owner, uri: str, body: bytes) -> None:
        """Upload a file, or a new version of it."""
        await self.call("PUT", f"file/content?uri={quote(uri, safe='')}", body, owner.token, is_raw=True)
