"""`/thumb?uri=...`: a File URI in, a picture out."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from proxy.domain.errors import ProxyError
from proxy.domain.picture import Picture
from proxy.domain.ranges import byte_range, is_wanted
from proxy.domain.response_fields import joined, picture_fields
from proxy.domain.thumb_request import ThumbRequest
from proxy.domain.variant import Variant
from proxy.gateway import Gateway
from proxy.http.aiohttp_private import HeadFirst
from proxy.http.embed import Embed
from proxy.http.negotiation import Negotiation
from proxy.http.outcome import Outcome, ended, failed
from proxy.http.request_origin import RequestOrigin
from proxy.http.reset import reset
from proxy.http.thumb_request import sent_as_received, thumb_request
from proxy.observe.span import Observer
from proxy.pictures.answer import Answer, Shown
from proxy.pictures.stream_buffer import StreamBuffer
from proxy.sessions.cookies import SessionCookies

LARGE_BYTES = 16 * 1024
"""The head of a larger body is sent apart from it: sent together, they are copied for each visitor."""


class Thumbs:
    """Shows pictures to those who may see them."""

    def __init__(
        self,
        gateway: Gateway,
        cookies: SessionCookies,
        request_origin: RequestOrigin,
        embed: Embed,
        negotiation: Negotiation,
        observer: Observer,
        max_uri_bytes: int,
    ) -> None:
        self._embed = embed
        self._negotiation = negotiation
        self._observer = observer
        self._gateway = gateway
        self._cookies = cookies
        self._request_origin = request_origin
        self._max_uri_bytes = max_uri_bytes

    def routes(self) -> list[web.RouteDef]:
        """Make the route; HEAD comes with GET."""
        return [web.get("/thumb", self._embed.telling(self._thumb)), web.options("/thumb", self._embed.preflight)]

    async def _thumb(self, request: web.Request) -> web.StreamResponse:
        variant = self._negotiation.variant(request)
        asked = question(request, self._request_origin, variant, self._max_uri_bytes, self._cookies.session(request))
        return await write(request, await self._gateway.answer(asked), self._embed, self._negotiation, self._observer)


def question(
    request: web.Request, request_origin: RequestOrigin, variant: Variant, max_uri_bytes: int, cookie: str | None = None
) -> ThumbRequest:
    """Read what the visitor asks for; raise BadRequest or InvalidToken when that cannot be told."""
    return thumb_request(
        request.query.getall("uri", ()),
        authorization=request.headers.getall("Authorization", ()),
        sent=sent_as_received(request.headers),
        if_none_match=request.headers.getall("If-None-Match", ()),
        variant=variant,
        client=request_origin.client(request),
        cookie=cookie,
        max_uri_bytes=max_uri_bytes,
    )


async def write(
    request: web.Request, answer: Answer, embed: Embed, negotiation: Negotiation, observer: Observer
) -> web.StreamResponse:
    """Send an answer, where the asking page may show it: the picture, or that the visitor has it already."""
    with observer.span("respond") as span:
        response = await _respond(request, answer, embed, negotiation)
        span.note(status=response.status)
        return response


async def _respond(request: web.Request, answer: Answer, embed: Embed, negotiation: Negotiation) -> web.StreamResponse:
    embedding = embed.fields(request, answer.identity)
    told = picture_fields(answer.identity, answer.etag, answer.remaining_s, answer.handling)
    fields = CIMultiDict(joined(told, negotiation.fields, embedding))
    if answer.shown is None:
        outcome = Outcome("not_modified", answer=answer)
        return ended(web.Response(status=HTTPStatus.NOT_MODIFIED, headers=fields), outcome)
    outcome = Outcome("hit" if answer.handling.is_hit else "miss", answer=answer)
    fields["Content-Type"] = answer.shown.head.media_type
    fields["Accept-Ranges"] = "bytes"
    if _is_range(request, answer.etag):
        return ended(await _part(request, answer.shown.body, fields), outcome)
    return await _show(request, answer.shown, fields, outcome)


def _is_range(request: web.Request, etag: str | None) -> bool:
    """Tell whether a part of the picture is asked for; only GET knows parts (RFC 9110 §14.2)."""
    ranges, if_range = request.headers.getall("Range", ()), request.headers.getall("If-Range", ())
    return request.method == "GET" and is_wanted(ranges, if_range, etag)


async def _part(request: web.Request, body: Picture | StreamBuffer, fields: CIMultiDict[str]) -> web.StreamResponse:
    """Send one range of the complete picture: one that arrives is waited for."""
    whole = (body if isinstance(body, Picture) else await body.whole()).body
    part = byte_range(request.headers["Range"], len(whole))
    if part is None:
        return web.Response(body=whole, headers=fields)
    fields["Content-Range"] = part.content_range(len(whole))
    return web.Response(status=HTTPStatus.PARTIAL_CONTENT, body=whole[part.start : part.end], headers=fields)


async def _show(request: web.Request, shown: Shown, fields: CIMultiDict[str], outcome: Outcome) -> web.StreamResponse:
    if isinstance(shown.body, Picture):
        body = shown.body.body
        return ended((HeadFirst if len(body) > LARGE_BYTES else web.Response)(body=body, headers=fields), outcome)
    if shown.head.length_bytes is None and request.version < HttpVersion11 and request.method != "HEAD":
        return ended(web.Response(body=(await shown.body.whole()).body, headers=fields), outcome)
    response = ended(web.StreamResponse(headers=fields), outcome)
    response.content_length = shown.head.length_bytes
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    return await _stream(request, response, shown.body)


async def _stream(request: web.Request, response: web.StreamResponse, download: StreamBuffer) -> web.StreamResponse:
    """Send what arrives; a picture that breaks off must not look complete, so its connection is reset."""
    try:
        async for chunk in download.chunks():
            await response.write(chunk)
        await response.write_eof()
    except ProxyError as error:
        ended(response, failed(error))
        reset(request.transport)
    except BaseException:
        reset(request.transport)
        raise
    return response
