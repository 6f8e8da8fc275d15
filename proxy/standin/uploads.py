"""Takes files in and throws them away, as far as filling a stand-in needs it."""

from __future__ import annotations

import json
from base64 import b64decode
from http import HTTPStatus

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
        self._sessions: dict[str, tuple[Account, str]] = {}

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
            self._site.library.tell("modify", account, file.path)
        return success(None)

    async def begin(self, request: web.Request, call: Call) -> web.Response:
        """Answer `PUT /api/v4/file/upload`: an upload session, for a file or a new version of one."""
        account = self._owner(request, call)
        call.target = json.loads(await request.read())["uri"]
        session = f"session-{len(self._sessions)}"
        self._sessions[session] = (account, _path(call.target))
        return success({"session_id": session, "chunk_size": 0, "uri": call.target})

    async def end(self, request: web.Request, call: Call) -> web.Response:
        """Answer a session's only chunk, or storage's word that it has the file (`/api/v4/callback/...`)."""
        account, path = self._sessions[request.match_info["session"]]
        call.identity = account.id
        await request.read()
        self._site.library.put(account, path, picture=True)
        return success(None)

    async def dav(self, request: web.Request, call: Call) -> web.Response:
        """Answer `PUT`, `DELETE` and `COPY` by WebDAV; the account's name is the user's, its root the user's files."""
        name = b64decode(request.headers.get("Authorization", "").partition(" ")[2]).decode().partition(":")[0]
        account = next((each for each in self._site.library.accounts if each.name == name), None)
        if account is None:
            return web.Response(status=HTTPStatus.UNAUTHORIZED)
        call.identity, path = account.id, "/" + request.match_info["path"]
        if request.method == "PUT":
            await request.read()
            self._site.library.put(account, path, picture=True)
            return web.Response(status=HTTPStatus.CREATED)
        if request.method == "COPY":
            self._site.library.put(account, request.headers["Destination"].partition("/dav")[2])
            return web.Response(status=HTTPStatus.LOCKED)  # though it is made (docs/cloudreve.md, Changes)
        self._site.library.remove(self._site.library.files[account.id, path])
        return web.Response(status=HTTPStatus.NO_CONTENT)

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
