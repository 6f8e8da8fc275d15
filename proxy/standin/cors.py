"""Cloudreve's answers to scripts of other origins where its configuration has `[CORS]` (docs/cloudreve.md, Changes)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from proxy.standin.site import Site

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_PREFLIGHT = (
    ("Access-Control-Allow-Headers", "Cookie,X-Cr-Policy,Authorization,Content-Length,Content-Type,X-Cr-Path"),
    ("Access-Control-Allow-Methods", "PUT,POST,GET,OPTIONS"),
    ("Vary", "Origin"),
    ("Vary", "Access-Control-Request-Method"),
    ("Vary", "Access-Control-Request-Headers"),
)
_ANSWER = (("Access-Control-Expose-Headers", "X-Total"), ("Vary", "Origin"))


async def cors(site: Site, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse origins that are not listed, and answer preflights; for a middleware."""
    origin = request.headers.get("Origin")
    if origin is None or not site.cors_origins:
        return await handler(request)
    if origin not in site.cors_origins:
        return web.Response(status=HTTPStatus.FORBIDDEN)
    return web.Response(status=HTTPStatus.NO_CONTENT) if request.method == "OPTIONS" else await handler(request)


def let_read(site: Site, request: web.Request, response: web.StreamResponse) -> None:
    """Let scripts of origins that are listed read an answer; for `on_response_prepare`."""
    origin = request.headers.get("Origin", "")
    if origin not in site.cors_origins:
        return
    for name, value in _PREFLIGHT if request.method == "OPTIONS" else _ANSWER:
        response.headers.add(name, value)
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Allow-Credentials"] = "true"
