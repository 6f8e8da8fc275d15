"""Answers what Cloudreve tells of shares, folders and OAuth apps (docs/cloudreve.md, Shares and apps)."""

from __future__ import annotations

from html import escape
from uuid import UUID

from aiohttp import web

from proxy.standin import gourl
from proxy.standin.answer import Refused, success
from proxy.standin.calls import Call
from proxy.standin.library import Account, Library, Share
from proxy.standin.navigator import login_required, no_such_path
from proxy.standin.site import Site

_SHARE_PAGE = """<!DOCTYPE html>
<html>
<head>
    <meta property="og:url" content="{url}">
</head>
</html>"""


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
            "unlocked": request.query.get("password", "") == share.password,
            "source_type": int(library.has_folder(share.owner, share.path)),
            "owner": {"id": share.owner.id, "nickname": share.owner.name},
            "expired": False,
            "url": f"{self._site.public_url}/s/{share.id}",
        }
        return success(told)

    async def share_page(self, request: web.Request, _call: Call) -> web.Response:
        """Answer `GET /s/{id}`: crawlers are told the address of a share, also of one that is not there."""
        share = request.match_info["share"]
        page = _SHARE_PAGE.format(url=escape(f"{self._site.public_url}/s/{share}"))
        return web.Response(text=page, content_type="text/html")

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
        found = _entries(self._site.library, owner, path)
        start, size = int(request.query.get("next_page_token") or 0), int(request.query.get("page_size") or len(found))
        pagination = {"next_token": str(start + size)} if start + size < len(found) else {}
        files = [{"name": name, "type": int(is_folder)} for name, is_folder in found[start : start + size]]
        return success({"files": files, "pagination": pagination, "context_hint": str(UUID(int=1))})

    async def app(self, request: web.Request, _call: Call) -> web.Response:
        """Answer `GET /api/v4/session/oauth/app/{id}`."""
        client = self._site.client
        if request.match_info["client"] != client.id:
            raise Refused(404, "App not found")
        return success({"id": client.id, "name": "Thumbnails"})


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


def _entries(library: Library, owner: Account, path: str) -> list[tuple[str, bool]]:
    """List the names in a folder, and whether each is a folder: these come first."""
    prefix = path.rstrip("/") + "/"
    below = [name.removeprefix(prefix) for user, name in library.files if user == owner.id and name.startswith(prefix)]
    folders = dict.fromkeys(name.partition("/")[0] for name in below if "/" in name)
    return [*((name, True) for name in folders), *((name, False) for name in below if "/" not in name)]
