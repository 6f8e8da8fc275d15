"""Answers whoami, sign-in and refresh (docs/cloudreve.md, whoami)."""

from __future__ import annotations

import json
from uuid import uuid4

from aiohttp import web

from proxy.standin import signing
from proxy.standin.answer import Refused, bare, go_time, success
from proxy.standin.calls import Call
from proxy.standin.library import PASSWORD, Account
from proxy.standin.navigator import login_required
from proxy.standin.site import Site

_SIGNED_IN = ("openid", "profile", "email")


class Sessions:
    """The endpoints that deal in tokens."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def whoami(self, request: web.Request, call: Call) -> web.Response:
        """Answer `GET /api/v4/session/oauth/userinfo`: bare, and as much as the scopes allow."""
        account, token = self._site.bearer(request)
        if account is None or token is None:
            raise login_required()
        call.identity = account.id
        scopes = token.scopes if token.client else _SIGNED_IN
        if "openid" not in scopes:
            raise Refused(403, "openid scope required")
        claims: dict[str, object] = {"sub": account.id}
        if "profile" in scopes:
            picture = f"{self._site.public_url}/api/v4/user/avatar/{account.id}"
            claims |= {"name": account.name, "preferred_username": account.name, "picture": picture}
            claims["updated_at"] = int(account.created)
        if "email" in scopes:
            claims |= {"email": account.email, "email_verified": True}
        return bare(claims)

    async def sign_in(self, request: web.Request, call: Call) -> web.Response:
        """Answer `POST /api/v4/session/token`."""
        form = await read_json(request, {"email": "Email", "password": "Password"})
        account = next((known for known in self._site.library.accounts if known.email == form["email"]), None)
        if account is None or form["password"] != PASSWORD:
            raise Refused(40080, "Incorrect password or email address")
        call.identity = account.id
        return success({"user": _user(account), "token": self.pair(account)})

    async def refresh(self, request: web.Request, call: Call) -> web.Response:
        """Answer `POST /api/v4/session/token/refresh`."""
        form = await read_json(request, {"refresh_token": "RefreshToken"})
        token = signing.verify(form["refresh_token"], self._site.secret, self._site.now())
        account = self._site.library.account(token.subject) if token and token.kind == "refresh" else None
        if account is None or token is None or token.root in self._site.revoked:
            raise Refused(40020, "Failed to issue token pair")
        call.identity = account.id
        return success(self.pair(account, token.client, token.scopes, token.root))

    def pair(
        self, account: Account, client: str = "", scopes: tuple[str, ...] = (), root: str = ""
    ) -> dict[str, object]:
        """Issue two tokens; `root` names the sign-in that they come from, a new one unless given."""
        site, now = self._site, self._site.now()
        root = root or str(uuid4())
        return {
            "access_token": site.issue(account, "access", site.access_life_s, client, scopes),
            "refresh_token": site.issue(account, "refresh", site.refresh_life_s, client, scopes, root),
            "access_expires": go_time(now + site.access_life_s),
            "refresh_expires": go_time(now + site.refresh_life_s),
        }


def _user(account: Account) -> dict[str, object]:
    group = {"id": account.id, "name": "User", "permission": "/RoB"}
    return {
        "id": account.id,
        "email": account.email,
        "nickname": account.name,
        "status": "active",
        "created_at": go_time(account.created),
        "group": group | {"direct_link_batch_size": 1000, "trash_retention": 604800},
        "language": "en-US",
    }


async def read_json(request: web.Request, fields: dict[str, str]) -> dict[str, str]:
    """Read a JSON object with these fields, each of which must be there; others come along."""
    try:
        values = json.loads(await request.read())
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise Refused(40001, "Parameter error", correlated=False)
    for field, label in fields.items():
        if not values.get(field):
            raise Refused(40001, f"{label} cannot be empty", correlated=False)
    return {field: str(value) for field, value in values.items()}
