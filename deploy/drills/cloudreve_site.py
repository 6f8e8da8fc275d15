"""A real Cloudreve as the drill of changes uses it: one user's files, shares and WebDAV account."""

from __future__ import annotations

import json
import random
import secrets
from base64 import b64encode
from http import HTTPStatus
from io import BytesIO
from typing import Any
from urllib.parse import quote

import aiohttp
from PIL import Image

SIDE = 320


class Refused(Exception):
    """Cloudreve did not do what the drill needs."""


def painted() -> bytes:
    """Make a picture that no other is like."""
    image = Image.new("RGB", (SIDE, SIDE), tuple(random.randbytes(3)))  # noqa: S311 - colours
    image.putpixel((random.randrange(SIDE), random.randrange(SIDE)), (255, 255, 255))  # noqa: S311
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


class CloudreveSite:
    """Calls of one user, each to an origin: Cloudreve's own, or that of a gateway in front."""

    def __init__(self, client: aiohttp.ClientSession, origin: str) -> None:
        self.origin = origin
        self._client = client
        self.token = ""
        self.user = ""
        self._dav = ""
        self.folder = f"changes-{secrets.token_hex(4)}"

    async def sign_in(self, email: str, password: str) -> None:
        """Sign in, make a WebDAV account, and a folder for the drill."""
        data = await self.api("POST", "/session/token", {"email": email, "password": password})
        self.token, self.user = data["token"]["access_token"], data["user"]["id"]
        dav = await self.api("PUT", "/devices/dav", {"name": "drill", "uri": "cloudreve://my", "readonly": False})
        self._dav = "Basic " + b64encode(f"{email}:{dav['password']}".encode()).decode()
        await self.api("POST", "/file/create", {"uri": self.uri(""), "type": "folder"})

    def uri(self, name: str) -> str:
        """Give the File URI of a name in the drill's folder."""
        return f"cloudreve://{self.user}@my/{self.folder}/{name}".rstrip("/")

    async def api(self, method: str, path: str, body: object = None, origin: str = "") -> Any:  # noqa: ANN401 - JSON
        """Call the API, and give its data."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        url = f"{origin or self.origin}/api/v4{path}"
        raw = body if isinstance(body, bytes) else None
        sent = {"data": raw} if raw is not None else {"json": body} if body is not None else {}
        async with self._client.request(method, url, headers=headers, **sent) as response:  # type: ignore[arg-type]
            answer = json.loads(await response.read())
        if answer["code"] != 0:
            raise Refused(f"{method} {path.partition('?')[0]}: {answer['code']} {answer.get('msg')}")
        return answer.get("data")

    async def dav(self, method: str, name: str, origin: str, body: bytes = b"", to: str = "") -> None:
        """Call WebDAV."""
        headers = {"Authorization": self._dav, **({"Destination": f"{origin}/dav/{self.folder}/{to}"} if to else {})}
        url = f"{origin}/dav/{self.folder}/{quote(name)}"
        async with self._client.request(method, url, headers=headers, data=body or None) as response:
            is_made = method == "COPY" and response.status == HTTPStatus.LOCKED  # (docs/cloudreve.md, Changes)
            if response.status >= HTTPStatus.BAD_REQUEST and not is_made:
                raise Refused(f"WebDAV {method}: {response.status}")

    async def put(self, name: str, origin: str = "") -> None:
        """Store a new picture, or a new version."""
        await self.api("PUT", f"/file/content?uri={quote(self.uri(name), safe='')}", painted(), origin)

    async def upload(self, name: str, origin: str) -> None:
        """Store a new version as the web page does: a session, then its chunks."""
        body = painted()
        wanted = {"uri": self.uri(name), "size": len(body), "mime_type": "image/png", "entity_type": "version"}
        session = await self.api("PUT", "/file/upload", wanted, origin)
        await self.api("POST", f"/file/upload/{session['session_id']}/0", body, origin)

    async def share(self, name: str) -> str:
        """Share a file or folder, and give the share's id."""
        return str(await self.api("PUT", "/share", {"uri": self.uri(name)})).rpartition("/s/")[2].partition("/")[0]

    async def truth(self, uri: str, token: str) -> bytes | None:
        """Give the picture that Cloudreve shows, or None where it shows none."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = f"{self.origin}/api/v4/file/thumb?uri={quote(uri, safe='')}"
        async with self._client.get(url, headers=headers) as response:
            answer = json.loads(await response.read())
        if answer["code"] != 0:
            return None
        async with self._client.get(
            self.origin + "/api/v4" + answer["data"]["url"].partition("/api/v4")[2]
        ) as response:
            return await response.read() if response.content_type != "application/json" else None
