"""Pictures on pages of other sites: which of these may show them; and a picture in place of an error."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from proxy.domain.errors import NotEmbeddable, ProxyError
from proxy.domain.fields import Fields
from proxy.domain.identity import Identity
from proxy.domain.request_fields import Preflight, preflight
from proxy.domain.response_fields import joined
from proxy.http.embedding_rule import Embedding, page_of, wants_picture
from proxy.http.problems import Handler, is_problem, problem_of
from proxy.http.request_origin import RequestOrigin

_PUBLIC = preflight(Preflight.PUBLIC)
_PRIVATE = preflight(Preflight.PRIVATE, Preflight.PUBLIC)
_PREFLIGHT = (("Access-Control-Allow-Methods", "GET, HEAD"), ("Access-Control-Max-Age", "600"))


class Embed:
    """Decides whether the page that a request comes from may show a picture, and tells its browser."""

    def __init__(self, embedding: Embedding, request_origin: RequestOrigin) -> None:
        self._embedding = embedding
        self._request_origin = request_origin

    def fields(self, request: web.Request, identity: Identity) -> Fields:
        """Make the fields that go with a picture; raise NotEmbeddable when the asking page may not show it."""
        own_origin = self._request_origin.own_origin(request)
        refusal = self._embedding.refusal(request.headers, own_origin, is_public=identity.is_public)
        if refusal is not None:
            raise NotEmbeddable(refusal)
        return self._embedding.fields(request.headers, own_origin, is_public=identity.is_public)

    def reading(self, request: web.Request) -> Fields:
        """Make the fields of an answer without a picture, which tells what everybody may read."""
        return (*self._embedding.reading(request.headers, is_public=True), ("Vary", "Origin"))

    def opened_to(self, origin: str) -> Embed:
        """Give the same for one more origin."""
        return Embed(self._embedding.opened_to(origin), self._request_origin)

    def other_page(self, request: web.Request) -> str | None:
        """Name the origin of the other site's page that a request comes from, unless it is listed."""
        page = page_of(request.headers, self._request_origin.own_origin(request))
        return None if page in self._embedding.private_origins else page

    async def preflight(self, request: web.Request) -> web.Response:
        """Tell a script of another site whether it may ask, and whether with a token: as the answer will say."""
        told: Fields = ()
        for is_public, names in ((False, _PRIVATE), (True, _PUBLIC)):
            reading = self._embedding.reading(request.headers, is_public=is_public)
            if reading and not told:
                told = (*reading, *_PREFLIGHT, ("Access-Control-Allow-Headers", names))
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=dict((*told, ("Vary", "Origin"))))

    def telling(self, handler: Handler) -> Handler:
        """Make a handler whose errors may be read by the scripts that may read its pictures."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except ProxyError as error:
                response = problem_of(request, error)
                response.headers.update(joined((*response.headers.items(), *self.reading(request))))
                return response

        return handle


class Fallback:
    """A picture for image requests that end in an error."""

    def __init__(self, media_type: str, body: bytes) -> None:
        self._media_type = media_type
        self._body = body

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Put the picture in the error's place; the status, and all that a client has to know, stay true."""
        response = await handler(request)
        if isinstance(response, web.Response) and is_problem(response) and wants_picture(request.headers):
            response.body = self._body
            response.headers["Content-Type"] = self._media_type
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response
