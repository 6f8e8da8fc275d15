"""Builds the routes that visitors ask, and pass-through behind them."""

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
from proxy.passthrough.client import UpstreamClient, passage
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
    rule: Embedding
    embed: Embed


def readers_of(settings: Settings) -> RequestReaders:
    """Make them, from the settings alone."""
    request_origin, rule = RequestOrigin(settings.server), embedding(settings.embed, settings.session)
    cookies = SessionCookies(settings.session.cookie, request_origin)
    return RequestReaders(request_origin, cookies, Negotiation(settings.pictures), rule, Embed(rule, request_origin))


@dataclass(frozen=True, slots=True)
class RestOfSite:
    """Everything that has no route of its own: handed to Cloudreve, or, without pass-through, nothing."""

    passthrough: Passthrough | None = None
    cors: SiteCors | None = None


async def rest_of_site(parts: Parts, core: Core, readers: RequestReaders) -> RestOfSite:
    """Build pass-through where it is wanted."""
    settings = parts.settings
    if not settings.server.passthrough:
        return RestOfSite()
    kept = core.stores
    changes = Changes(core.feed, core.identifier, core.owners, kept.shared_values, kept.tiers, readers.request_origin)
    way: UpstreamClient = await parts.stack.enter_async_context(passage(settings.cloudreve, parts.observer))
    if settings.sign_in.client_id and not settings.session.path.startswith("/api/"):
        _log.warning("session.path is outside /api/: the service worker of Cloudreve's page will answer for it")
    passthrough = Passthrough(way, readers.request_origin, changes, readers.cookies.names)
    return RestOfSite(passthrough, await parts.site_cors(way))


async def routes_of(
    parts: Parts,
    core: Core,
    gateway: Gateway,
    readers: RequestReaders,
    rest: RestOfSite,
    more: Sequence[web.RouteDef],
) -> list[web.RouteDef]:
    """Give all routes but those of pass-through; `more` are served beside them."""
    settings, observer, most = parts.settings, parts.observer, parts.settings.server.max_uri_bytes
    origin, cookies, embed, negotiation = readers.request_origin, readers.cookies, readers.embed, readers.negotiation
    sealed = SealedAccess(
        core.sealer, core.stores.tiers, core.responder, core.feed, parts.clock, parts.metrics, settings
    )
    handle = rest.passthrough.handle if rest.passthrough else None
    site_fields = rest.cors.fields if rest.cors else None
    cross_origin = CrossOrigin(readers.rule.private_origins, origin, site_fields, handle)
    search = await info_search(parts, gateway, core.feed)
    sessions, identifier = core.sessions, core.identifier
    sign_in = SignIn(sessions, identifier, core.oauth, core.sealer, parts.clock, cookies, origin, settings)
    parts.health.heed(origin.troubles)
    return [
        *Thumbs(gateway, cookies, origin, embed, negotiation, observer, most).routes(),
        *ThumbInfo(search, cookies, origin, embed, negotiation, most).routes(),
        *SessionApi(sessions, identifier, cookies, origin, settings, handle).routes(),
        *sign_in_routes(sign_in, parts.health, parts.metrics),
        *SealedUrls(sealed, origin, embed, cross_origin, negotiation, observer).routes(),
        *ThumbApi(gateway, sealed, origin, cross_origin, negotiation, most).routes(),
        *more,
        *([] if rest.passthrough else _greeting(settings, more)),
    ]


def _greeting(settings: Settings, more: Sequence[web.RouteDef]) -> list[web.RouteDef]:
    site = next(iter(settings.cloudreve.public_origins), None)
    return [] if any(route.path == "/" for route in more) else Greeting(site).routes()
