"""`/thumb/s/{sealed}`: a URL that shows a picture without any other credential."""

from __future__ import annotations

from aiohttp import web

from proxy.domain.model import PictureRequest
from proxy.http.embed import Embed
from proxy.http.negotiation import Negotiation
from proxy.http.request_origin import Front
from proxy.http.sealed_access import Sealed
from proxy.http.thumb import write

PREFIX = "/thumb/s/"


class SealedUrls:
    """Shows pictures to those who were given their URLs. Other credentials in the request are ignored."""

    def __init__(self, sealed: Sealed, front: Front, embed: Embed, negotiation: Negotiation) -> None:
        self._negotiation = negotiation
        self._embed = embed
        self._sealed = sealed
        self._front = front

    def routes(self) -> list[web.RouteDef]:
        """Make the route; HEAD comes with GET."""
        return [web.get(PREFIX + "{sealed}", self._show)]

    async def _show(self, request: web.Request) -> web.StreamResponse:
        validators = request.headers.getall("If-None-Match", ())
        if_none_match = ", ".join(validators) if validators else None
        wanted = PictureRequest(self._negotiation.variant(request), if_none_match, self._front.client(request))
        answer = await self._sealed.answer(request.match_info["sealed"], wanted)
        return await write(request, answer, self._embed, self._negotiation)
