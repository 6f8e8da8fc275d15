"""`/thumb/s/{sealed}`: a URL that shows a picture without any other credential."""

from __future__ import annotations

from aiohttp import web

from proxy.domain.thumb_request import PictureRequest
from proxy.http.cross_origin import CrossOrigin
from proxy.http.embed import Embed
from proxy.http.negotiation import Negotiation
from proxy.http.request_origin import RequestOrigin
from proxy.http.thumb import write
from proxy.observe.span import Observer
from proxy.sealed.sealed_access import SealedAccess

PREFIX = "/thumb/s/"
ROUTE = PREFIX + "{sealed}"


class SealedUrls:
    """Shows pictures to those who were given their URLs. Other credentials in the request are ignored."""

    def __init__(
        self,
        sealed: SealedAccess,
        request_origin: RequestOrigin,
        embed: Embed,
        cross_origin: CrossOrigin,
        negotiation: Negotiation,
        observer: Observer,
    ) -> None:
        self._negotiation = negotiation
        self._observer = observer
        self._embed = embed
        self._cross_origin = cross_origin
        self._sealed = sealed
        self._request_origin = request_origin

    def routes(self) -> list[web.RouteDef]:
        """Make the routes; HEAD comes with GET."""
        return [web.get(ROUTE, self._embed.telling(self._show)), web.options(ROUTE, self._preflight)]

    async def _show(self, request: web.Request) -> web.StreamResponse:
        validators = request.headers.getall("If-None-Match", ())
        if_none_match = ", ".join(validators) if validators else None
        wanted = PictureRequest(self._negotiation.variant(request), if_none_match, self._request_origin.client(request))
        answer = await self._sealed.answer(request.match_info["sealed"], wanted)
        return await write(request, answer, await self._embed_for(request), self._negotiation, self._observer)

    async def _preflight(self, request: web.Request) -> web.Response:
        return await (await self._embed_for(request)).preflight(request)

    async def _embed_for(self, request: web.Request) -> Embed:
        """Give the rule for the asking page: one that Cloudreve lets read its API has the URL from there."""
        page = self._embed.other_page(request)
        if page is None or page == "null" or not await self._cross_origin.of_site(request, page):
            return self._embed
        return self._embed.opened_to(page)
