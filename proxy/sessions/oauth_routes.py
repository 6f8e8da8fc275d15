"""`/session/login` and `/session/callback`: the way to Cloudreve's consent page and back."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from urllib.parse import urlencode

from aiohttp import web

from proxy.coalesce.deadline import deadline
from proxy.coalesce.fair_queue import FairQueue
from proxy.domain.client import Client
from proxy.domain.credentials import Credentials
from proxy.domain.errors import CrossSite, InvalidToken, NoSuchRoute, ProxyError
from proxy.domain.fields import Fields
from proxy.domain.keys import site_digest
from proxy.domain.response_fields import SAFETY
from proxy.domain.seal import Sealer
from proxy.domain.session import SessionCookie
from proxy.domain.sign_in_errors import CodeRefused, SignInFailed
from proxy.http.outcome import Outcome, ended
from proxy.http.page_texts import WayOn
from proxy.http.problem_page import Link
from proxy.http.problems import problem_of
from proxy.http.request_origin import RequestOrigin
from proxy.identity.identify import Identifier
from proxy.sessions.authorization import (
    ATTEMPT_S,
    Attempt,
    answered,
    authorize_url,
    is_answer,
    landing,
    open_attempt,
    seal_attempt,
)
from proxy.sessions.cookies import SessionCookies
from proxy.sessions.lifecycle import Sessions
from proxy.sessions.session import may_sign_in
from proxy.sessions.sign_in_returns import SignInReturns
from proxy.settings import Settings
from proxy.upstream.clock import Clock
from proxy.upstream.oauth import OAuth

EXCHANGES = 8
"""How many codes are exchanged for tokens at once, at most."""
EXCHANGES_PER_CLIENT = 16
"""How many one client may have under way or waiting."""

_FIELDS: Fields = (
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    *SAFETY,
)


class SignIn:
    """Signs visitors in with Cloudreve (OAuth 2.0 code flow with PKCE; RFC 6749, RFC 7636, RFC 9700)."""

    def __init__(
        self,
        sessions: Sessions,
        identifier: Identifier,
        oauth: OAuth,
        sealer: Sealer,
        clock: Clock,
        cookies: SessionCookies,
        request_origin: RequestOrigin,
        settings: Settings,
    ) -> None:
        self._sessions = sessions
        self._identifier = identifier
        self._oauth = oauth
        self._sealer = sealer
        self._clock = clock
        self._cookies = cookies
        self._client = request_origin.client
        self._exchanges = FairQueue(EXCHANGES, EXCHANGES_PER_CLIENT, EXCHANGES * EXCHANGES_PER_CLIENT)
        self._path = settings.session.path
        self._way = request_origin.path + self._path
        self._origins = settings.session.origins
        self._client_id = settings.sign_in.client_id or ""
        self._scopes = settings.sign_in.scopes
        self._site = site_digest(settings.site)
        self._site_origin = _site_origin(settings)
        self._redirect_uri = f"{settings.server.public_origin}{self._path}/callback"
        self._deadline_s = settings.server.deadline_s
        self.returns = SignInReturns(self._redirect_uri)

    def routes(self) -> list[web.RouteDef]:
        """Make the routes; where no client is configured, both answer that."""
        login, callback = (self._login, self._callback) if self._client_id else (_not_configured, _not_configured)
        return [
            web.get(f"{self._path}/login", login),
            web.get(f"{self._path}/callback", callback, allow_head=False),
        ]

    def _again(self, request: web.Request, error: ProxyError, where: str) -> web.Response:
        """Tell of an error; a person may begin anew from there."""
        link = Link(f"{self._way}/login?{urlencode({'next': where})}", WayOn.SIGN_IN)
        response = problem_of(request, error, link)
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    async def _login(self, request: web.Request) -> web.Response:
        """Begin a sign-in, and send the visitor to Cloudreve."""
        where = landing(request.query.getall("next", ()), self._way, self._origins)
        if not may_sign_in(request.headers):
            error = CrossSite("Signing in begins on a page of this site, in a window of its own.")
            return self._again(request, error, where)
        until = self._clock.now() + ATTEMPT_S
        attempt = Attempt(secrets.token_urlsafe(32), secrets.token_urlsafe(48), where, until)
        url = authorize_url(self._site_origin, self._client_id, self._redirect_uri, self._scopes, attempt)
        self.returns.begun()
        response = _redirect(url)
        sealed = seal_attempt(self._sealer, attempt, self._site)
        self._cookies.put_attempt(request, response, attempt.state, SessionCookie(sealed, ATTEMPT_S))
        return response

    async def _callback(self, request: web.Request) -> web.Response:
        """End a sign-in: the visitor lands where they wanted, with a session or with an error that says why not."""
        states, codes, errors = (request.query.getall(name, ()) for name in ("state", "code", "error"))
        kept = open_attempt(self._sealer, self._cookies.attempt(request, states), self._site, self._clock.now())
        try:
            attempt, code = answered(kept, states, codes, errors)
            client = self._client(request)
            async with deadline(self._deadline_s), self._exchanges.turn(client, attempt.state):
                cookie = await self._redeemed(code, attempt.verifier, client)
        except ProxyError as error:
            response = self._again(request, error, kept.landing if kept else "/")
        else:
            response = _redirect(attempt.landing)
            self._cookies.put_session(request, response, cookie)
        if kept is not None and is_answer(kept, states):  # others, in other tabs, stay under way
            self.returns.returned()
            self._cookies.drop_attempt(request, response, kept.state)
        return response

    async def _redeemed(self, code: str, verifier: str, client: Client) -> SessionCookie:
        tokens = await self._oauth.exchange(code, verifier)
        if tokens is None:
            raise CodeRefused(
                "Cloudreve does not honour its answer (any more), or does not know this gateway's client."
            )
        try:
            await self._identifier.identify(Credentials(tokens.access), client=client)
        except InvalidToken as error:
            raise SignInFailed("Cloudreve gave a token that it does not accept.") from error
        return self._sessions.begin(tokens)[1]


async def _not_configured(_: web.Request) -> web.Response:
    raise NoSuchRoute("Sign-in with Cloudreve is not configured here (sign_in.client_id, sign_in.client_secret).")


def _redirect(where: str) -> web.Response:
    response = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": where, **dict(_FIELDS)})
    return ended(response, Outcome("sign_in"))


def _site_origin(settings: Settings) -> str:
    """Give the address of Cloudreve's page as browsers know it."""
    if settings.cloudreve.public_origins:
        return settings.cloudreve.public_origins[0]
    return (settings.server.passthrough and settings.server.public_origin) or settings.cloudreve.url
