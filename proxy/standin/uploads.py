"""Takes files in and throws them away, as far as filling a stand-in needs it."""

from __future__ import annotations

import json

from aiohttp import web

from proxy.standin import gourl
from proxy.standin.answer import Refused, success
from proxy.standin.calls import Call
from proxy.standin.library import Account
from proxy.standin.navigator import login_required, no_such_path
from proxy.standin.site import Site

_MAGIC = (b"\x89PNG\r\n\x1a\n",)


class Uploads:
    """The endpoints that change a user's own files."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def put(self, request: web.Request, call: Call) -> web.Response:
        """Answer `PUT /api/v4/file/content?uri=`: a new file, or a new version of an old one."""
        call.target = gourl.query_value(request.raw_path.partition("?")[2], "uri")
        account = self._owner(request, call)
        path = _path(call.target)
        body = await request.read()
        file = self._site.library.put(account, path, picture=body.startswith(_MAGIC))
        return success({"type": 0, "name": file.name, "size": len(body), "path": call.target, "owned": True})

    async def delete(self, request: web.Request, call: Call) -> web.Response:
        """Answer `DELETE /api/v4/file`."""
        account = self._owner(request, call)
        for uri in json.loads(await request.read())["uris"]:
            file = self._site.library.files.get((account.id, _path(uri)))
            if file is None:
                raise no_such_path()
            self._site.library.remove(file)
        return success(None)

    async def mark(self, request: web.Request, call: Call) -> web.Response:
        """Answer `PATCH /api/v4/file/metadata`: a thumbnail that failed is tried again once its mark is removed."""
        account = self._owner(request, call)
        asked = json.loads(await request.read())
        is_reset = any(patch["key"] == "thumb:disabled" and patch.get("remove") for patch in asked["patches"])
        for uri in asked["uris"]:
            file = self._site.library.files.get((account.id, _path(uri)))
            if file is None:
                raise no_such_path()
            file.hopeless = file.hopeless and not is_reset
        return success(None)

    def _owner(self, request: web.Request, call: Call) -> Account:
        account, _ = self._site.bearer(request)
        if account is None:
            raise login_required()
        call.identity = account.id
        return account


def _path(uri: str) -> str:
    try:
        return gourl.read(uri).path
    except gourl.NotAnAddress as error:
        raise Refused(40001, "unknown uri") from error
