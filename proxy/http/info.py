"""`/thumb/info?uri=...&uri=...`: what a page needs to be laid out before its pictures come."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from http import HTTPStatus

from aiohttp import web

from proxy.domain.errors import BadRequest, NotEmbeddable, ProxyError
from proxy.domain.response_fields import joined, matches
from proxy.domain.thumb_request import ThumbRequest
from proxy.domain.variant import Variant
from proxy.http.embed import Embed
from proxy.http.info_answers import Known, body, fields, least_public
from proxy.http.info_search import InfoSearch
from proxy.http.negotiation import Negotiation
from proxy.http.outcome import Outcome, ended
from proxy.http.request_origin import RequestOrigin
from proxy.http.thumb_request import sent_as_received, thumb_request
from proxy.pictures.answer import InfoAnswer
from proxy.sessions.cookies import SessionCookies

MAX_URIS = 100
PATH = "/thumb/info"


class ThumbInfo:
    """Tells of pictures to those who may see them: size, ETag, length, and how they look from afar."""

    def __init__(
        self,
        search: InfoSearch,
        cookies: SessionCookies,
        request_origin: RequestOrigin,
        embed: Embed,
        negotiation: Negotiation,
        max_uri_bytes: int,
    ) -> None:
        self._search = search
        self._cookies = cookies
        self._request_origin = request_origin
        self._embed = embed
        self._negotiation = negotiation
        self._max_uri_bytes = max_uri_bytes

    def routes(self) -> list[web.RouteDef]:
        """Make the routes; HEAD comes with GET."""
        return [web.get(PATH, self._embed.telling(self._info)), web.options(PATH, self._embed.preflight)]

    async def _info(self, request: web.Request) -> web.Response:
        uris = request.query.getall("uri", ())
        if not 1 <= len(uris) <= MAX_URIS:
            raise BadRequest(f"From 1 to {MAX_URIS} `uri` are accepted; there are {len(uris)}.")
        variant = self._negotiation.variant(request)
        found = await self._search.find([self._question(request, variant, uri) for uri in uris])
        return self._response(request, uris, [self._embeddable(request, known) for known in found])

    def _question(self, request: web.Request, variant: Variant, uri: str) -> ThumbRequest | BadRequest:
        """Read what is asked of one URI; one that is none fails alone."""
        try:
            return thumb_request(
                (uri,),
                authorization=request.headers.getall("Authorization", ()),
                sent=sent_as_received(request.headers),
                variant=variant,
                client=self._request_origin.client(request),
                cookie=self._cookies.session(request),
                max_uri_bytes=self._max_uri_bytes,
            )
        except BadRequest as error:
            return error

    def _embeddable(self, request: web.Request, known: Known) -> Known:
        """Give what the asking page may know."""
        if isinstance(known, InfoAnswer):
            try:
                self._embed.fields(request, known.identity)
            except NotEmbeddable as error:
                return error
        return known

    def _response(self, request: web.Request, uris: Sequence[str], known: Sequence[Known]) -> web.Response:
        content = body(uris, known)
        etag = f'"{blake2b(content, digest_size=20).hexdigest()}"'
        identity = least_public(known)
        embedding = self._embed.fields(request, identity) if identity is not None else self._embed.reading(request)
        told = joined(fields(known, etag), self._negotiation.fields, embedding)
        if_none_match = ", ".join(request.headers.getall("If-None-Match", ())) or None
        if dict(told).get("ETag") == etag and matches(if_none_match, etag):
            response = web.Response(status=HTTPStatus.NOT_MODIFIED, headers=dict(told))
        else:
            response = web.Response(body=content, headers={**dict(told), "Content-Type": "application/json"})
        self._renew(request, response, known)
        failure = next((each for each in known if isinstance(each, ProxyError) and each.is_failure), None)
        return ended(response, Outcome("info", failure))

    def _renew(self, request: web.Request, response: web.Response, known: Sequence[Known]) -> None:
        """Set a renewed session's cookie."""
        renewed = next((each.renewed for each in known if isinstance(each, InfoAnswer) and each.renewed), None)
        if renewed is not None:
            self._cookies.put_session(request, response, renewed)
