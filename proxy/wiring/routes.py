"""Builds the routes for visitors, and pass-through of all other requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from aiohttp import web

from proxy.gateway import Gateway
from proxy.http.api import ThumbApi
from proxy.http.cross_origin import CrossOrigin
from proxy.http.embed import Embed
from proxy.http.embedding_rule import Embedding, embedding
from proxy.http.greeting import Greeting
from proxy.http.info import ThumbInfo
from proxy.http.negotiation import Negotiation
from proxy.http.request_origin import RequestOrigin
from proxy.http.sealed_urls import SealedUrls
from proxy.http.thumb import Thumbs
from proxy.passthrough.changes import Changes
from proxy.passthrough.client import passage
from proxy.passthrough.cross_origin import SiteCors
from proxy.passthrough.routes import Passthrough
from proxy.sealed.sealed_access import SealedAccess
from proxy.sessions.cookies import SessionCookies
from proxy.sessions.oauth_routes import SignIn
from proxy.sessions.routes import SessionApi
from proxy.settings import Settings
from proxy.wiring.core import Core
from proxy.wiring.infos import info_search
from proxy.wiring.observation import sign_in_routes
from proxy.wiring.parts import Parts

_log = structlog.get_logger("proxy.wiring.process")


@dataclass(frozen=True, slots=True)
class RequestReaders:
    """Readers of the parts of a request that several routes look at: address, cookie, asking page, format."""

    request_origin: RequestOrigin
    cookies: SessionCookies
    negotiation: Negotiation
    embedding: Embedding
    embed: Embed


def readers_of(settings: Settings) -> RequestReaders:
    """Make them, from the settings alone."""
    origin, rule = RequestOrigin(settings.server), embedding(settings.embed, settings.session)
    cookies = SessionCookies(settings.session.cookie, origin)
    return RequestReaders(origin, cookies, Negotiation(settings.pictures), rule, Embed(rule, origin))


@dataclass(frozen=True, slots=True)
class SiteBehind:
    """Cloudreve's whole site behind the gateway: requests without a route of their own, and its answers to scripts."""

    passthrough: Passthrough
    cors: SiteCors


async def site_behind(parts: Parts, core: Core, readers: RequestReaders) -> SiteBehind | None:
    """Build pass-through; None without `server.passthrough`."""
    settings = parts.settings
    if not settings.server.passthrough:
        return None
    values, tiers, origin = core.stores.shared_values, core.stores.tiers, readers.request_origin
    changes = Changes(core.feed, core.identifier, core.owners, values, tiers, origin)
    client = await parts.stack.enter_async_context(passage(settings.cloudreve, parts.observer))
    if settings.sign_in.client_id and not settings.session.path.startswith("/api/"):
        _log.warning("session.path is outside /api/: the service worker of Cloudreve's page will answer for it")
    passthrough = Passthrough(client, origin, changes, readers.cookies.names)
    return SiteBehind(passthrough, await parts.site_cors(client))


async def routes_of(
    parts: Parts,
    core: Core,
    gateway: Gateway,
    readers: RequestReaders,
    behind: SiteBehind | None,
    more: Sequence[web.RouteDef],
) -> list[web.RouteDef]:
    """Build the routes of the gateway's own answers; `more` are served beside them."""
    settings, observer, max_uri_bytes = parts.settings, parts.observer, parts.settings.server.max_uri_bytes
    origin, cookies, embed, negotiation = readers.request_origin, readers.cookies, readers.embed, readers.negotiation
    sealed = SealedAccess(
        core.sealer, core.stores.tiers, core.responder, core.feed, parts.clock, parts.metrics, settings
    )
    handle, site_fields = (behind.passthrough.handle, behind.cors.fields) if behind else (None, None)
    cross_origin = CrossOrigin(readers.embedding.private_origins, origin, site_fields, handle)
    search = await info_search(parts, gateway, core.feed)
    sessions, identifier = core.sessions, core.identifier
    sign_in = SignIn(sessions, identifier, core.oauth, core.sealer, parts.clock, cookies, origin, settings)
    parts.health.watch(origin.troubles)
    return [
        *Thumbs(gateway, cookies, origin, embed, negotiation, observer, max_uri_bytes).routes(),
        *ThumbInfo(search, cookies, origin, embed, negotiation, max_uri_bytes).routes(),
        *SessionApi(sessions, identifier, cookies, origin, settings, handle).routes(),
        *sign_in_routes(sign_in, parts.health, parts.metrics),
        *SealedUrls(sealed, origin, embed, cross_origin, negotiation, observer).routes(),
        *ThumbApi(gateway, sealed, origin, cross_origin, negotiation, max_uri_bytes).routes(),
        *more,
        *([] if behind else _greeting(settings, more)),
    ]


def _greeting(settings: Settings, more: Sequence[web.RouteDef]) -> list[web.RouteDef]:
    site = next(iter(settings.cloudreve.public_origins), None)
    return [] if any(route.path == "/" for route in more) else Greeting(site).routes()
