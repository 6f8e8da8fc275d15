"""Answers what Cloudreve tells of shares, folders, OAuth apps and events (docs/cloudreve.md, Shares and apps)."""

from __future__ import annotations

import asyncio
from uuid import UUID

from aiohttp import web

from proxy.standin import gourl
from proxy.standin.answer import Refused, not_found, success
from proxy.standin.calls import Call
from proxy.standin.library import Account, Library, Share
from proxy.standin.navigator import login_required, no_such_path
from proxy.standin.site import Site


class Public:
    """The endpoints around thumbnails that `thumb-proxy check` asks."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def share(self, request: web.Request, _call: Call) -> web.Response:
        """Answer `GET /api/v4/share/info/{id}`: whose a share is and its link, whatever it takes to open it."""
        library = self._site.library
        share = library.shares.get(request.match_info["share"])
        if share is None:
            raise Refused(40001, "Failed to parse object ID")
        told = {
            "id": share.id,
            "name": share.path.rpartition("/")[2],
            "unlocked": not share.password,
            "source_type": int(library.has_folder(share.owner, share.path)),
            "owner": {"id": share.owner.id, "nickname": share.owner.name},
            "expired": False,
            "url": f"{self._site.public_url}/s/{share.id}",
        }
        return success(told)

    async def folder(self, request: web.Request, call: Call) -> web.Response:
        """Answer `GET /api/v4/file`: what is in a folder."""
        viewer, _ = self._site.bearer(request)
        call.identity = viewer.id if viewer else "anonymous"
        call.target = request.query.get("uri", "")
        address = gourl.read(call.target)
        share = self._site.library.shares.get(address.user or "")
        if address.filesystem == "share":
            owner, path = _shared(share, address.password, address.path)
        else:
            owner, path = _own(viewer, address.path)
        if not self._site.library.has_folder(owner, path):
            raise no_such_path()
        return success({"files": [{"name": name, "type": 0} for name in _names(self._site.library, owner, path)]})

    async def app(self, request: web.Request, _call: Call) -> web.Response:
        """Answer `GET /api/v4/session/oauth/app/{id}`."""
        client = self._site.client
        if request.match_info["client"] != client.id:
            raise Refused(404, "App not found")
        return success({"id": client.id, "name": "Thumbnails"})

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Answer `GET /api/v4/file/events` with its first event, and then with nothing."""
        viewer, _ = self._site.bearer(request)
        if viewer is None:
            return login_required().answer()
        if not self._site.has_events:
            return not_found()
        UUID(request.headers["X-Cr-Client-Id"])
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"event:subscribed\ndata:<nil>\n\n")
        await asyncio.Event().wait()
        return response


def _shared(share: Share | None, password: str | None, path: str) -> tuple[Account, str]:
    if share is None:
        raise Refused(404, "Shared file does not exist")
    if share.password and share.password != password:
        raise Refused(40069, "Incorrect share password")
    return share.owner, gourl.clean(share.path + path)


def _own(viewer: Account | None, path: str) -> tuple[Account, str]:
    if viewer is None:
        raise login_required()
    return viewer, gourl.clean(path)


def _names(library: Library, owner: Account, path: str) -> list[str]:
    prefix = path.rstrip("/") + "/"
    below = [name.removeprefix(prefix) for user, name in library.files if user == owner.id and name.startswith(prefix)]
    return [name for name in below if "/" not in name]
