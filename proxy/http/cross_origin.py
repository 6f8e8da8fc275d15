"""Cloudreve's API for scripts of other origins (CORS): what preflights and answers say is the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web

from proxy.domain.fields import Fields
from proxy.domain.request_fields import Preflight, preflight
from proxy.http.problems import Handler
from proxy.http.request_origin import RequestOrigin

VARY: Fields = (("Vary", "Origin"),)
_ALLOWED = {*preflight(Preflight.PRIVATE).split(", "), "Content-Type", "X-Cr-Client-Id", "X-Cr-Context-Hint"}
"""Which fields scripts may send: those of a thumbnail's request, and those of Cloudreve's page."""
_PREFLIGHT: Fields = (
    ("Access-Control-Allow-Methods", "GET"),
    ("Access-Control-Allow-Headers", ", ".join(sorted(_ALLOWED))),
    ("Access-Control-Max-Age", "600"),
)


SiteFields = Callable[[str, str], Awaitable[Fields]]
"""Gives what Cloudreve says to scripts of an origin that have asked a host."""


class CrossOrigin:
    """Scripts of the origins that the configuration lists, and with pass-through those that Cloudreve allows."""

    def __init__(
        self,
        origins: Collection[str],
        request_origin: RequestOrigin,
        site_fields: SiteFields | None,
        site: Handler | None,
    ) -> None:
        self._origins = origins
        self._request_origin = request_origin
        self._site_fields = site_fields
        self._site = site

    async def fields(self, request: web.Request) -> Fields:
        """Make the fields that go with an answer."""
        origin = request.headers.get("Origin")
        if origin is None or origin == self._request_origin.own_origin(request):
            return VARY
        if origin in self._origins:
            return (("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true"), *VARY)
        return (*await self.of_site(request, origin), *VARY)

    async def of_site(self, request: web.Request, origin: str) -> Fields:
        """Give what Cloudreve says to scripts of an origin; nothing without pass-through."""
        if self._site_fields is None:
            return ()
        return await self._site_fields(origin, urlsplit(self._request_origin.own_origin(request)).netloc)

    async def preflight(self, request: web.Request) -> web.StreamResponse:
        """Tell a script whether it may ask: by the configuration, else with pass-through as Cloudreve does."""
        is_listed = request.headers.get("Origin") in self._origins
        if self._site is not None and not is_listed:
            return await self._site(request)
        fields = (*await self.fields(request), *(_PREFLIGHT if is_listed else ()))
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=dict(fields))
