"""Pictures on pages of other sites: which of these may show them; and a picture in place of an error."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from proxy.domain.errors import NotEmbeddable
from proxy.domain.model import Identity
from proxy.domain.response_fields import Fields
from proxy.http.embedding_rule import Embedding, wants_picture
from proxy.http.problems import Handler, is_problem
from proxy.http.request_origin import Front

_PREFLIGHT = (
    ("Access-Control-Allow-Methods", "GET, HEAD"),
    ("Access-Control-Allow-Headers", "Authorization, X-Cr-Purchase-Ticket, X-Cr-Context-Hint"),
    ("Access-Control-Max-Age", "600"),
)


class Embed:
    """Decides whether the page that a request comes from may show a picture, and tells its browser."""

    def __init__(self, embedding: Embedding, front: Front) -> None:
        self._embedding = embedding
        self._front = front

    def fields(self, request: web.Request, identity: Identity) -> Fields:
        """Make the fields that go with a picture; raise NotEmbeddable when the asking page may not show it."""
        own_origin = self._front.own_origin(request)
        refusal = self._embedding.refusal(request.headers, own_origin, is_public=identity.is_public)
        if refusal is not None:
            raise NotEmbeddable(refusal)
        return self._embedding.fields(request.headers, own_origin, is_public=identity.is_public)

    async def preflight(self, request: web.Request) -> web.Response:
        """Tell a script of another site whether it may ask with a token."""
        own_origin = self._front.own_origin(request)
        fields = dict(self._embedding.fields(request.headers, own_origin, is_public=False))
        more = dict(_PREFLIGHT) if "Access-Control-Allow-Origin" in fields else {}
        return web.Response(status=HTTPStatus.NO_CONTENT, headers={**fields, **more, "Vary": "Origin"})


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
