"""Another node of the site: thumbnails and contents at URLs of its own (docs/cloudreve.md, Storage elsewhere)."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from urllib.parse import quote, unquote

from aiohttp import web

from proxy.standin import gourl, signing
from proxy.standin.answer import Refused
from proxy.standin.calls import Call
from proxy.standin.contents import conditional
from proxy.standin.library import Entity
from proxy.standin.site import Site

ROUTES = ("/api/v4/slave/file/thumb/{place}/{extension}", "/api/v4/slave/file/content/0/{place}/{speed}/{name}")
_ETAG = '"0"'
"""The same for all pictures."""


def sign(site: Site, entity: Entity, name: str, expires: float) -> str:
    """Write a URL of the node that is good until then; the name is the one that the file has at the moment."""
    place = urlsafe_b64encode(f"uploads/{entity.id}".encode()).decode()
    thumb, content = f"/api/v4/slave/file/thumb/{place}/png", f"/api/v4/slave/file/content/0/{place}/0/{name}"
    path = thumb if site.node == "thumb" else content
    signature = quote(signing.sign_path(path, site.secret, expires), safe="")
    return f"{site.foreign_url}{quote(path, safe='/=')}?sign={signature}"


class Node:
    """The node's endpoint for pictures."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def fetch(self, request: web.Request, call: Call) -> web.Response:
        """Answer `GET` and `HEAD` of a thumbnail or of a content."""
        path, _, query = request.raw_path.partition("?")
        call.target = unquote(path)
        wrong = signing.check_path(call.target, gourl.query_value(query, "sign"), self._site.secret, self._site.now())
        if wrong is not None:
            raise Refused(*wrong)
        place = urlsafe_b64decode(request.match_info["place"]).decode()
        entity = self._site.library.entities.get(place.rpartition("/")[2])
        if entity is None or not entity.alive:
            raise Refused(-1, "")
        body = await asyncio.to_thread(entity.read, thumb=self._site.native_thumbs)
        return conditional(request, body, {"ETag": _ETAG, "Content-Type": "application/octet-stream"})
