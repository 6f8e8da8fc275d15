"""Answers resolve: from a File URI to a signed image URL (docs/cloudreve.md, resolve)."""

from __future__ import annotations

from urllib.parse import quote

from aiohttp import web

from proxy.standin import gourl, node, provider, signing
from proxy.standin.answer import Refused, go_time, success
from proxy.standin.calls import Call
from proxy.standin.library import Account, Entity, File
from proxy.standin.navigator import no_entity
from proxy.standin.obfuscate import obfuscate
from proxy.standin.signing import Token
from proxy.standin.site import Site

FETCH_PATH = "/api/v4/file/content"


class Thumbs:
    """The endpoint that finds, generates and signs."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def resolve(self, request: web.Request, call: Call) -> web.Response:
        """Answer `GET /api/v4/file/thumb`."""
        uri = gourl.query_value(request.raw_path.partition("?")[2], "uri")
        call.target = uri
        viewer, token = self._site.bearer(request)
        call.identity = viewer.id if viewer else "anonymous"
        _check_scopes(token)
        if not uri:
            raise Refused(40001, "Uri cannot be empty", correlated=False)
        hint = request.headers.get("X-Cr-Context-Hint", "")
        file = self._site.navigator.find(uri, viewer, call.ticket, hint, self._site.now())
        return success(
            self._signed(*await self._thumbnail(file, uri, viewer), self._site.library.moved.get(file.path, ""))
        )

    async def _thumbnail(self, file: File, uri: str, viewer: Account | None) -> tuple[Entity, str]:
        """Return the entity to show, and the name that its URL ends in this time."""
        if self._site.native_thumbs and file.draw is not None:
            return file.original, file.name
        if file.hopeless:
            raise no_entity()
        if file.thumbnail is not None:
            return file.thumbnail, f"{file.name}.jpg"
        owner = viewer == file.owner
        seen_as = f"cloudreve://my{file.path}" if owner else uri
        entity = await self._site.generator.thumbnail(file, seen_as, owner=owner)
        return entity, f"{file.owner.number}_{file.blob}_{file.name}._thumb"

    def _signed(self, entity: Entity, name: str, origin: str) -> dict[str, object]:
        site, now = self._site, self._site.now()
        expires = now + site.url_life_s
        if site.node:
            url = node.sign(site, entity, name, expires)
        elif site.sign_elsewhere is not None:
            url = site.sign_elsewhere(entity)
        elif site.foreign:
            url = provider.presign(site, entity, expires, origin)
        else:
            path = f"{FETCH_PATH}/{entity.id}/0/{name}"
            signature = quote(signing.sign_path(path, site.secret, expires), safe="")
            url = f"{site.public_url}{quote(path, safe='/$&+=:@')}?sign={signature}"
            url += "&thumb=true" if site.native_thumbs else ""
        if site.obfuscated:
            url = obfuscate(url, now)
        data: dict[str, object] = {"url": "" if site.empty_url else url}
        data["expires"] = None if site.null_expires else go_time(expires)
        return data | ({"obfuscated": True} if site.obfuscated else {})


def _check_scopes(token: Token | None) -> None:
    """Refuse an OAuth token without a right to files; the right to write implies the one to read."""
    if token is not None and token.client and not {"Files.Read", "Files.Write"} & set(token.scopes):
        raise Refused(40089, "Insufficient scope: Files.Read")
