"""Answers fetch: the bytes behind a signed image URL (docs/cloudreve.md, fetch)."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import unquote

from aiohttp import web

from proxy.standin import gourl, signing
from proxy.standin.answer import Refused
from proxy.standin.calls import Call
from proxy.standin.site import Site

_ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_TYPES = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "txt": "text/plain; charset=utf-8"}


class Gone(Refused):
    """A refusal from behind the sandbox: it carries the policy of the pictures."""

    def __init__(self) -> None:
        super().__init__(40077, "Entity not exist")

    def answer(self) -> web.Response:
        """Add the policy."""
        response = super().answer()
        response.headers["Content-Security-Policy"] = "sandbox"
        return response


class Contents:
    """The endpoint that serves entities."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def fetch(self, request: web.Request, call: Call) -> web.Response:
        """Answer `GET` and `HEAD /api/v4/file/content/{entity}/{speed}/{name}`."""
        call.target = request.match_info["entity"]
        path, _, query = request.raw_path.partition("?")
        signature = gourl.query_value(query, "sign")
        wrong = signing.check_path(unquote(path), signature, self._site.secret, self._site.now())
        if wrong is not None:
            raise Refused(*wrong)
        entity = self._site.library.entities.get(call.target)
        if entity is None or not entity.alive:
            raise Gone
        body = await asyncio.to_thread(entity.read, thumb=bool(gourl.query_value(query, "thumb")))
        return conditional(request, body, _headers(request, entity.id))


def conditional(request: web.Request, body: bytes, headers: dict[str, str]) -> web.Response:
    """Answer with all of a body, the one range asked for, 304 or 416."""
    if _matches(request.headers.get("If-None-Match"), headers.get("ETag")):
        kept = {name: value for name, value in headers.items() if name != "Content-Type"}
        return web.Response(status=304, headers=kept)
    wanted = request.headers.get("Range")
    if wanted is None or request.headers.get("If-Range", headers.get("ETag")) != headers.get("ETag"):
        return web.Response(body=body, headers={"Accept-Ranges": "bytes", **headers})
    first, last = _range(wanted, len(body))
    if first > last:
        refused = {**headers, "Content-Range": f"bytes */{len(body)}", "Content-Type": "text/plain; charset=utf-8"}
        return web.Response(status=416, body=b"invalid range: failed to overlap\n", headers=refused)
    headers = {"Accept-Ranges": "bytes", "Content-Range": f"bytes {first}-{last}/{len(body)}", **headers}
    return web.Response(status=206, body=body[first : last + 1], headers=headers)


def _headers(request: web.Request, entity: str) -> dict[str, str]:
    """Head an entity's bytes; the type follows from the name in the URL, true or not, and HEAD is not sandboxed."""
    extension = request.match_info["name"].rpartition(".")[2].lower()
    headers = {"Cache-Control": "public, max-age=86400"}
    if request.method == "GET":
        headers["Content-Security-Policy"] = "sandbox"
    return headers | {"Content-Type": _TYPES.get(extension, "application/octet-stream"), "ETag": f'"{entity}"'}


def _matches(header: str | None, etag: str | None) -> bool:
    """Compare weakly (RFC 9110 §13.1.2)."""
    if header is None or etag is None:
        return False
    return header.strip() == "*" or etag.removeprefix("W/") in (
        tag.strip().removeprefix("W/") for tag in header.split(",")
    )


def _range(header: str, size: int) -> tuple[int, int]:
    """Return first and last byte; first behind last where nothing can be sent."""
    asked = _ONE_RANGE.fullmatch(header.strip())
    if asked is None or not (asked[1] or asked[2]):
        return 1, 0
    if not asked[1]:
        return max(0, size - int(asked[2])), size - 1
    last = min(int(asked[2] or size - 1), size - 1)
    return (int(asked[1]), last) if int(asked[1]) <= last else (1, 0)
