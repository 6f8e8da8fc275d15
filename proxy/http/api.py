"""`/api/v4/file/thumb?uri=...`: Cloudreve's own question, answered in its own shape, with a sealed URL."""

from __future__ import annotations

from aiohttp import web

from proxy.domain.client import Client, client_of
from proxy.domain.errors import ProxyError
from proxy.domain.response_fields import Handling, cache_status, joined
from proxy.gateway import Gateway
from proxy.grants.found_grant import Granted
from proxy.http.api_envelope import ApiAnswer, link, no
from proxy.http.cross_origin import CrossOrigin
from proxy.http.negotiation import Negotiation, size_query
from proxy.http.outcome import Outcome, ended, failed
from proxy.http.problems import REQUEST_ID, new_request_id
from proxy.http.request_origin import RequestOrigin
from proxy.http.sealed_urls import PREFIX
from proxy.http.thumb import question
from proxy.pictures.answer import Answer
from proxy.sealed.sealed_access import SealedAccess

PATH = "/api/v4/file/thumb"


class ThumbApi:
    """Answers clients of Cloudreve's API, its own page among them, as Cloudreve would."""

    def __init__(
        self,
        gateway: Gateway,
        sealed: SealedAccess,
        request_origin: RequestOrigin,
        cross_origin: CrossOrigin,
        negotiation: Negotiation,
        max_uri_bytes: int,
    ) -> None:
        self._negotiation = negotiation
        self._cross_origin = cross_origin
        self._gateway = gateway
        self._sealed = sealed
        self._request_origin = request_origin
        self._max_uri_bytes = max_uri_bytes

    def routes(self) -> list[web.RouteDef]:
        """Make the routes; HEAD comes with GET."""
        return [web.get(PATH, self._thumb), web.options(PATH, self._cross_origin.preflight)]

    async def _thumb(self, request: web.Request) -> web.Response:
        response = await self._answer(request)
        told = (*response.headers.items(), *await self._cross_origin.fields(request))
        response.headers.update(joined(told))
        return response

    async def _answer(self, request: web.Request) -> web.Response:
        asked = None
        try:
            # Cookies do not count here: clients of this API send tokens, and a page without one is signed out.
            size = self._negotiation.size(request)
            asked = question(request, self._request_origin, size, self._max_uri_bytes)
            granted = await self._gateway.grant(asked)
            url = self._request_origin.base(request) + PREFIX + self._sealed.seal(granted) + size_query(size)
        except ProxyError as error:
            named = new_request_id()
            response = _response(no(error, for_anybody=asked is None or asked.uri.filesystem == "share"))
            response.headers[REQUEST_ID] = named
            return ended(response, failed(error, named))
        response = _response(link(url, granted.found.grant.fresh_until))
        response.headers["Cache-Status"] = _cache_status(granted)
        return ended(response, Outcome("granted", answer=_answer_of(granted, asked.client)))


def _response(reply: ApiAnswer) -> web.Response:
    return web.Response(status=reply.status, headers=dict(reply.fields), body=reply.body)


def _answer_of(granted: Granted, client: Client) -> Answer:
    """Say what the answer rests on, for the fast path; no picture is shown."""
    handling, client = Handling(granted.found.source, None), client_of(granted.identity, client)
    return Answer(granted.identity, None, granted.remaining_s, handling, None, granted.found, client)


def _cache_status(granted: Granted) -> str:
    """Say where the grant came from, which is all there was to find."""
    source = granted.found.source
    return cache_status(Handling(source, source, granted.found.collapsed), int(granted.remaining_s))
