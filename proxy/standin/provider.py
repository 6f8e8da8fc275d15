"""A storage provider of its own host: presigned URLs, true types, XML errors (docs/cloudreve.md, Storage elsewhere)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from urllib.parse import quote

from aiohttp import web

from proxy.standin.answer import Refused
from proxy.standin.calls import Call
from proxy.standin.contents import conditional
from proxy.standin.library import Entity
from proxy.standin.site import Site


def presign(site: Site, entity: Entity, expires: float, origin: str = "") -> str:
    """Write a URL on the provider's host that is good until then; the object's key is the entity's, and stable."""
    path, until = f"/bucket/{entity.id}/thumb.png", int(expires)
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=stand-in&X-Amz-Expires={until}"
    query += f"&X-Amz-Signature={_mac(site, path, until)}"
    return f"{origin or site.foreign_origin or site.foreign_url}{quote(path)}?{query}"


class Denied(Refused):
    """A refusal in the provider's own shape; its code is the HTTP status."""

    def answer(self) -> web.Response:
        """Wrap the refusal in XML, under a true status."""
        text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{self.msg}</Code></Error>'
        return web.Response(status=self.code, text=text, content_type="application/xml")


class Provider:
    """The provider's only endpoint."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def fetch(self, request: web.Request, call: Call) -> web.Response:
        """Answer `GET` and `HEAD /bucket/{entity}/{name}`; not in Cloudreve's shape, but counted with its fetches."""
        call.target = request.path
        self._check(request)
        entity = self._site.library.entities.get(request.match_info["entity"])
        if entity is None or not entity.alive:
            raise Denied(404, "NoSuchKey")
        body = await asyncio.to_thread(entity.read, thumb=self._site.native_thumbs)
        response = conditional(request, body, self._headers(body))
        if self._site.foreign_chunked and response.status == web.HTTPOk.status_code:
            response.enable_chunked_encoding()
        return response

    def _check(self, request: web.Request) -> None:
        """Refuse a presigned URL that is tampered with or too old."""
        until = request.query.get("X-Amz-Expires", "")
        signature = request.query.get("X-Amz-Signature", "")
        if not until.isdigit() or not hmac.compare_digest(signature, _mac(self._site, request.path, int(until))):
            raise Denied(403, "SignatureDoesNotMatch")
        if int(until) < int(self._site.now()):
            raise Denied(403, "AccessDenied")

    def _headers(self, body: bytes) -> dict[str, str]:
        headers = {"Content-Type": "image/png"}
        if self._site.foreign_etags:
            weak = "W/" if self._site.foreign_weak else ""
            headers["ETag"] = f'{weak}"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        return headers


def _mac(site: Site, path: str, until: int) -> str:
    return hmac.new(site.secret.encode(), f"{path}\n{until}".encode(), hashlib.sha256).hexdigest()
