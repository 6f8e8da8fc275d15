"""Answers the OAuth2 code flow: a consent page, the code that it gives, tokens for the code, and their end."""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode
from uuid import uuid4

from aiohttp import web

from proxy.standin.answer import Refused, bare, success
from proxy.standin.calls import Call
from proxy.standin.library import Account
from proxy.standin.navigator import login_required
from proxy.standin.sessions import Sessions, read_json
from proxy.standin.site import Site

CODE_LIFE_S = 600.0

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Stand-in Cloudreve</title>
<h1>Stand-in Cloudreve</h1>
<p>{client} asks for: {scopes}</p>
<form method="post" action="/session/authorize">{fields}
<label>You are <select name="account">{accounts}</select></label> <button id="allow">Allow</button></form>
</html>"""
_ASKED = ("client_id", "redirect_uri", "response_type", "scope", "state", "code_challenge", "code_challenge_method")


@dataclass(frozen=True, slots=True)
class _Agreed:
    """What a code stands for, once."""

    account: Account
    client: str
    scopes: tuple[str, ...]
    challenge: str
    until: float


class NotExchanged(Refused):
    """What a bad code gets: the one endpoint that has an HTTP status and a shape of its own for errors."""

    def answer(self) -> web.Response:
        """Give HTTP 400 and a list of codes."""
        value = {"error": self.msg, "error_description": "", "error_codes": [self.code], "correlation_id": str(uuid4())}
        response = bare(value)
        response.set_status(400)
        return response


class Consent:
    """The page, of an account that is signed in already, and the endpoints around it."""

    def __init__(self, site: Site, sessions: Sessions) -> None:
        self._site = site
        self._sessions = sessions
        self._agreed: dict[str, _Agreed] = {}

    async def page(self, request: web.Request, _call: Call) -> web.Response:
        """Answer `GET /session/authorize` with one button."""
        asked = {name: request.query.get(name, "") for name in _ASKED}
        self._check(asked)
        hidden = "".join(
            f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in asked.items()
        )
        names = (escape(account.name) for account in self._site.library.accounts)
        page = _PAGE.format(
            client=escape(asked["client_id"]),
            scopes=escape(asked["scope"]),
            fields=hidden,
            accounts="".join(f"<option>{name}</option>" for name in names),
        )
        return web.Response(text=page, content_type="text/html")

    async def press(self, request: web.Request, call: Call) -> web.Response:
        """Answer the page's button: back to where the browser came from."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        name = form.get("account", "alice")
        account = next(known for known in self._site.library.accounts if known.name == name)
        call.identity = account.id
        query = urlencode({"code": self._code(account, form), "state": form["state"]})
        return web.Response(status=303, headers={"Location": f"{form['redirect_uri']}?{query}"})

    async def consent(self, request: web.Request, call: Call) -> web.Response:
        """Answer `POST /api/v4/session/oauth/consent`, which the real page's button sends."""
        account, _ = self._site.bearer(request)
        if account is None:
            raise login_required()
        call.identity = account.id
        asked = await read_json(request, {"client_id": "ClientID", "redirect_uri": "RedirectURI", "scope": "Scope"})
        return success({"code": self._code(account, asked), "state": asked.get("state", "")})

    async def exchange(self, request: web.Request, call: Call) -> web.Response:
        """Answer `POST /api/v4/session/oauth/token`: a code is good once, whatever comes of it."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        agreed = self._agreed.pop(form.get("code", ""), None)
        if agreed is None or agreed.until < self._site.now():
            raise NotExchanged(40020, "Invalid or expired authorization code")
        if agreed.client != form.get("client_id"):
            raise NotExchanged(40020, "Client ID mismatch")
        if agreed.challenge and agreed.challenge != _challenge(form.get("code_verifier", "")):
            raise NotExchanged(40020, "Invalid code verifier")
        if form.get("client_secret") != self._site.client.secret:
            raise NotExchanged(40020, "Invalid client secret")
        call.identity = agreed.account.id
        return bare(self._tokens(agreed))

    async def revoke(self, request: web.Request, _call: Call) -> web.Response:
        """Answer `DELETE /api/v4/session/token`: every refresh token of one sign-in is void from now on."""
        form = await read_json(request, {"refresh_token": "RefreshToken"})
        self._site.revoke(form["refresh_token"])
        return success("")

    def _tokens(self, agreed: _Agreed) -> dict[str, object]:
        site = self._site
        pair = self._sessions.pair(agreed.account, agreed.client, agreed.scopes)
        answer: dict[str, object] = {
            "access_token": pair["access_token"],
            "token_type": "Bearer",
            "expires_in": int(site.access_life_s),
            "refresh_token_expires_in": int(site.refresh_life_s),
        }
        if "offline_access" in agreed.scopes:
            answer["refresh_token"] = pair["refresh_token"]
        return answer | {"scope": " ".join(agreed.scopes)}

    def _code(self, account: Account, asked: Mapping[str, str]) -> str:
        self._check(asked)
        code = secrets.token_urlsafe(96)
        scopes, until = tuple(asked["scope"].split(" ")), self._site.now() + CODE_LIFE_S
        self._agreed[code] = _Agreed(account, asked["client_id"], scopes, asked.get("code_challenge", ""), until)
        return code

    def _check(self, asked: Mapping[str, str]) -> None:
        client, scopes = self._site.client, asked["scope"].split(" ")
        if asked["client_id"] != client.id:
            raise Refused(404, "App not found")
        if asked["redirect_uri"] != client.redirect_uri:
            raise Refused(40001, "Invalid redirect URI")
        if not set(scopes) <= set(client.scopes):
            raise Refused(40001, "Invalid scope requested")
        if "openid" not in scopes:
            raise Refused(40001, "openid scope required")


def _challenge(verifier: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
