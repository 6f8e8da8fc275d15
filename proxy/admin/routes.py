"""The status page and its files, which come with the package: no build, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

import msgspec
from aiohttp import web

from proxy.admin.status import Page
from proxy.http.orders import check_host
from proxy.settings import AdminSettings

_FILES = {"/": ("status.html", "text/html"), "/status.css": ("status.css", "text/css")}
_FILES["/status.js"] = ("status.js", "text/javascript")
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'"
_FIELDS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def routes(page: Callable[[], Awaitable[Page]], settings: AdminSettings) -> list[web.RouteDef]:
    """Make the routes: the page, and what it shows as JSON; to a host that is not this port's own nothing is told."""

    async def status(request: web.Request) -> web.Response:
        check_host(request, settings)
        body = msgspec.json.encode(await page())
        return web.Response(body=body, content_type="application/json", headers=_FIELDS)

    return [*(web.get(path, _file(*file)) for path, file in _FILES.items()), web.get("/status", status)]


def _file(name: str, media_type: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    body = (files("proxy.admin") / name).read_bytes()

    async def show(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=media_type, charset="utf-8", headers=_FIELDS)

    return show
