"""Orders on the admin port, taken from operators and their tools, never from a page in somebody's browser."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from proxy.domain.errors import BadRequest, Busy, CrossSite, InvalidToken
from proxy.domain.warming import WarmOrder, WarmReply
from proxy.grants.purge import GivePurge, Purge
from proxy.http.outcome import Outcome, ended
from proxy.settings import AdminSettings

MAX_ORDER_BYTES = 64 * 1024
NGINX = (
    "nginx keeps what it was given until its own time runs out: delete the files below its proxy_cache_path, or raise "
    "a number in its proxy_cache_key (deploy/nginx/thumb-proxy.conf)."
)
"""What a cache in front keeps cannot be ended from here."""

S = TypeVar("S", bound=msgspec.Struct)


class Orders:
    """`POST /purge` and `POST /warm`, guarded against browsers.

    They take JSON, from no other site's page, under no foreign `Host`, and with a token if there is one.

    A page of any site can make a browser send a form to 127.0.0.1 or, by DNS rebinding, take the admin port for its own
    host. JSON makes the browser ask first, which is never answered; `Origin` and `Sec-Fetch-Site` name the page.
    """

    def __init__(
        self,
        settings: AdminSettings,
        purge: GivePurge,
        warm: Callable[[WarmOrder], Awaitable[WarmReply]],
    ) -> None:
        self._settings = settings
        self._purge = purge
        self._warm = warm

    def routes(self) -> list[web.RouteDef]:
        """Make the routes."""
        return [web.post("/purge", self._take_purge), web.post("/warm", self._take_warm)]

    async def _take_warm(self, request: web.Request) -> web.Response:
        """Begin; how far it has come the status page tells."""
        self.check(request)
        reply = await self._warm(await _order(request, WarmOrder))
        if reply.problem:
            raise Busy(reply.problem) if reply.is_busy else BadRequest(reply.problem)
        return ended(_json({"warming": "begun"}, HTTPStatus.ACCEPTED), Outcome("warm"))

    async def _take_purge(self, request: web.Request) -> web.Response:
        self.check(request)
        purged = await self._purge(await _order(request, Purge))
        body = {**msgspec.to_builtins(purged), "nginx": NGINX}
        status = HTTPStatus.ACCEPTED if purged.waiting else HTTPStatus.OK
        return ended(_json(body, status), Outcome("purge"))

    def check(self, request: web.Request) -> None:
        """Raise CrossSite or InvalidToken for an order that a browser may have been made to send."""
        check_order(request, self._settings)
        if request.content_type != "application/json":
            raise BadRequest("Send the order as application/json.")


def check_order(request: web.Request, settings: AdminSettings) -> None:
    """Raise CrossSite where another site's page may have made a browser ask, InvalidToken without the token."""
    if settings.token is not None and not _has_token(request, settings):
        raise InvalidToken("Send admin.token as `Authorization: Bearer`.")
    site, origin = request.headers.get("Sec-Fetch-Site", "none"), request.headers.get("Origin")
    if site not in ("none", "same-origin") or (origin is not None and origin != f"http://{request.host}"):
        raise CrossSite("Only this port's own pages may give orders.")
    check_host(request, settings)


def check_host(request: web.Request, settings: AdminSettings) -> None:
    """Raise CrossSite for a host that another site's page may have taken for the admin port (DNS rebinding)."""
    if not _has_token(request, settings) and not _is_own(request.host, settings.host):
        raise CrossSite("`Host` has to be an address, localhost or admin.host, unless admin.token is set and sent.")


def _has_token(request: web.Request, settings: AdminSettings) -> bool:
    token = settings.token.get_secret_value().encode() if settings.token is not None else b""
    return bool(token) and hmac.compare_digest(_bearer(request.headers).encode(errors="replace"), token)


async def _order(request: web.Request, shape: type[S]) -> S:
    raw = b""
    async for piece in request.content.iter_any():
        raw += piece
        if len(raw) > MAX_ORDER_BYTES:
            raise BadRequest("The order is too long.")
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        members = ", ".join(shape.__struct_fields__)
        raise BadRequest(f"The order is no JSON, or has other members than {members}.") from error


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _is_own(host: str, own: str) -> bool:
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    name = name.strip("[]").lower()
    if name in ("localhost", own.lower()):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _json(body: Mapping[str, Any], status: HTTPStatus) -> web.Response:
    raw = msgspec.json.encode(body)
    return web.Response(body=raw, status=status, content_type="application/json", headers={"Cache-Control": "no-store"})
