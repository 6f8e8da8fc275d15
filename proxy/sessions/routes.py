"""`/session`: a page's script turns an access token into a cookie for `<img>`, asks whose it is, and ends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus

import msgspec
from aiohttp import web

from proxy.coalesce.deadline import deadline
from proxy.domain.credentials import Credentials
from proxy.domain.errors import CrossSite, InvalidToken, NotSignedIn, ProxyError
from proxy.domain.fields import Fields
from proxy.domain.identity import Identity
from proxy.domain.response_fields import SAFETY
from proxy.http.outcome import Outcome, ended
from proxy.http.problems import Handler, problem_of
from proxy.http.request_origin import RequestOrigin
from proxy.http.thumb_request import bearer
from proxy.identity.claims import read_claims
from proxy.identity.identify import Identifier
from proxy.sessions.cookies import NO_COOKIE, SessionCookies
from proxy.sessions.lifecycle import Sessions
from proxy.sessions.session import is_navigation, may_change
from proxy.settings import Settings
from proxy.upstream.token_answers import Tokens

Job = Callable[[web.Request], Awaitable[web.Response]]

_FIELDS: Fields = (
    ("Cache-Control", "no-store"),
    ("Vary", "Authorization, Cookie, Origin"),
    *SAFETY,
)
_PREFLIGHT: Fields = (
    ("Access-Control-Allow-Methods", "GET, POST, DELETE"),
    ("Access-Control-Allow-Headers", "Authorization"),
    ("Access-Control-Max-Age", "600"),
)


class _Person(msgspec.Struct, omit_defaults=True):
    kind: str
    subject: str
    expires: datetime | None
    scopes: tuple[str, ...] = ()


class SessionApi:
    """Begins, shows and ends sessions, for our own pages and those of the origins that the configuration lists.

    `page` passes a request to Cloudreve, where the configuration says so: its page to sign in has the same path.
    """

    def __init__(
        self,
        sessions: Sessions,
        identifier: Identifier,
        cookies: SessionCookies,
        request_origin: RequestOrigin,
        settings: Settings,
        page: Handler | None,
    ) -> None:
        self._page = page
        self._sessions = sessions
        self._identifier = identifier
        self._cookies = cookies
        self._request_origin = request_origin
        self._path = settings.session.path
        self._origins = frozenset(settings.session.origins)
        self._deadline_s = settings.server.deadline_s

    def routes(self) -> list[web.RouteDef]:
        """Make the routes; HEAD comes with GET."""
        return [
            web.get(self._path, self._get),
            web.post(self._path, self._handler(self._begin)),
            web.delete(self._path, self._handler(self._end)),
            web.options(self._path, self._handler(self._allow)),
        ]

    async def _get(self, request: web.Request) -> web.StreamResponse:
        """Name the visitor; with pass-through, a navigation gets Cloudreve's own page at this path instead."""
        if self._page is not None and is_navigation(request.headers):
            return await self._page(request)
        return await self._handler(self._show)(request)

    async def _begin(self, request: web.Request) -> web.Response:
        """Set the cookie for a token that Cloudreve accepts."""
        self._check(request)
        token = bearer(request.headers.getall("Authorization", ()))
        if token is None:
            raise NotSignedIn("Send an access token of Cloudreve as `Authorization: Bearer`.")
        visitor = await self._identifier.identify(Credentials(token), client=self._request_origin.client(request))
        session, cookie = self._sessions.begin(Tokens(token))
        response = _said(visitor.identity, session.ends)
        self._cookies.put_session(request, response, cookie)
        return response

    async def _show(self, request: web.Request) -> web.Response:
        """Name the visitor."""
        token = bearer(request.headers.getall("Authorization", ()))
        if token is None:
            return await self._show_session(request)
        visitor = await self._identifier.identify(Credentials(token), client=self._request_origin.client(request))
        claims = read_claims(token)
        return _said(visitor.identity, claims.expires if claims else None)

    async def _show_session(self, request: web.Request) -> web.Response:
        cookie = self._cookies.session(request)
        entered = await self._sessions.enter(cookie) if cookie else None
        if entered is not None:
            with suppress(InvalidToken):
                visitor = await self._identifier.identify(
                    Credentials(entered.session.access), client=self._request_origin.client(request)
                )
                response = _said(visitor.identity, entered.session.ends)
                if entered.renewed is not None:
                    self._cookies.put_session(request, response, entered.renewed)
                return response
        response = problem_of(request, NotSignedIn("Nobody is signed in here."))
        if cookie:
            self._cookies.put_session(request, response, NO_COOKIE)
        return response

    async def _end(self, request: web.Request) -> web.Response:
        """End the session, for copies of its cookie too, and clear what the browser has cached.

        Of `Clear-Site-Data` only "cache" is our affair: "cookies" and "storage" would sign the visitor out of whatever
        else lives here, Cloudreve's own page for one, which keeps its tokens in the storage.
        """
        self._check(request)
        cookie = self._cookies.session(request)
        ending = self._sessions.end(cookie) if cookie is not None else None
        if ending is not None:
            await ending.told
        response = web.Response(status=HTTPStatus.NO_CONTENT, headers={"Clear-Site-Data": '"cache"'})
        self._cookies.put_session(request, response, NO_COOKIE)
        return response

    async def _allow(self, request: web.Request) -> web.Response:
        """Answer a preflight (CORS); `_sharing` adds the fields that name the allowed origin."""
        is_allowed = request.headers.get("Origin") in self._origins
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=dict(_PREFLIGHT if is_allowed else ()))

    def _check(self, request: web.Request) -> None:
        if not may_change(request.headers, self._request_origin.own_origin(request), self._origins):
            raise CrossSite("Only pages of this site may begin or end a session here.")

    def _handler(self, job: Job) -> Job:
        """Make a handler whose answers are never stored, and whose errors allowed origins may read too (CORS)."""

        async def handle(request: web.Request) -> web.Response:
            try:
                async with deadline(self._deadline_s):
                    response = ended(await job(request), Outcome("session"))
            except ProxyError as error:
                response = problem_of(request, error)
            response.headers.update(_FIELDS)
            response.headers.update(self._sharing(request))
            return response

        return handle

    def _sharing(self, request: web.Request) -> Fields:
        origin = request.headers.get("Origin")
        if origin is None or origin not in self._origins:
            return (("Cross-Origin-Resource-Policy", "same-origin"),)
        return (
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Credentials", "true"),
            ("Cross-Origin-Resource-Policy", "same-site"),
        )


def _said(identity: Identity, expires: float | None) -> web.Response:
    until = datetime.fromtimestamp(expires, UTC) if expires else None
    person = _Person(identity.kind, identity.subject, until, identity.scopes)
    return web.Response(body=msgspec.json.encode(person), content_type="application/json")
