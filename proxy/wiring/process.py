"""The composition root: builds every object, wires them, and closes them again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from socket import socket

import structlog
from aiohttp import web

from proxy import __version__
from proxy.admin.reporter import Reporter
from proxy.coalesce.deadline import Countdown
from proxy.domain.source import Source
from proxy.domain.ssrf import Origins
from proxy.fastpath.index import FastPath
from proxy.fastpath.key import Keys
from proxy.gateway import Bounds, Gateway
from proxy.grants.authorise import Authoriser
from proxy.grants.purge import GivePurge, purged
from proxy.http.api import ThumbApi
from proxy.http.applications import Applications
from proxy.http.connection_limits import ConnectionLimits
from proxy.http.cross_origin import CrossOrigin
from proxy.http.embed import Embed
from proxy.http.embedding_rule import embedding
from proxy.http.file_descriptors import room_for
from proxy.http.greeting import Greeting
from proxy.http.health import Health
from proxy.http.info import ThumbInfo
from proxy.http.negotiation import Negotiation
from proxy.http.orders import Orders
from proxy.http.request_origin import RequestOrigin
from proxy.http.sealed_urls import SealedUrls
from proxy.http.thumb import Thumbs
from proxy.live_events.arrivals import Arrivals
from proxy.live_events.watcher import Watcher
from proxy.observe.failures import Failures
from proxy.observe.metrics import Metrics
from proxy.passthrough.changes import Changes
from proxy.passthrough.client import UpstreamClient, passage
from proxy.passthrough.routes import Passthrough
from proxy.pictures.respond import Responder
from proxy.sealed.sealed_access import SealedAccess
from proxy.sessions.cookies import SessionCookies
from proxy.sessions.oauth_routes import SignIn
from proxy.sessions.routes import SessionApi
from proxy.settings import Settings
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.images import Images, public_socket
from proxy.upstream.oauth import OAuth
from proxy.version import commit
from proxy.warm.jobs import WarmJobs
from proxy.warm.kit import Kit
from proxy.warm.warmer import Warmer
from proxy.wiring.changes import change_feed, drop_purged, share_owners
from proxy.wiring.disk import with_sign_outs_kept
from proxy.wiring.first_contact import meet
from proxy.wiring.infos import info_search, infos
from proxy.wiring.live_events import arrivals_of, ears_of, watch, watcher_of
from proxy.wiring.observation import failures, observer, request_log, sign_in_routes, status_routes
from proxy.wiring.of_settings import fallback_of, sealer_of
from proxy.wiring.parts import Parts
from proxy.wiring.servers import Servers
from proxy.wiring.steps import steps_of
from proxy.wiring.stores import stores
from proxy.wiring.warming import Warming

_log = structlog.get_logger("proxy.wiring.process")


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers."""

    port: int
    admin_port: int
    """0 for one of several workers, who have theirs together."""
    health: Health
    metrics: Metrics
    hits: FastPath
    reporter: Reporter
    jobs: WarmJobs

    async def drain(self, seconds: float) -> None:
        """Take requests a while longer, but say to everybody who listens that they should go elsewhere."""
        self.health.is_ready = False
        self.hits.forget()
        await asyncio.sleep(seconds)


@asynccontextmanager
async def running(
    settings: Settings,
    clock: Clock | None = None,
    routes: Sequence[web.RouteDef] = (),
    sockets: Sequence[socket] | None = None,
    admin_sockets: Sequence[socket] = (),
    operators: Sequence[web.RouteDef] = (),
) -> AsyncIterator[Running]:
    """Build and start everything, and serve `routes` beside it; at the end let requests finish and close everything.

    `sockets` are bound already and shared with other processes. With them there is an admin port only on
    `admin_sockets`; `operators` are served there as well.
    """
    settings = with_sign_outs_kept(settings)
    async with AsyncExitStack() as stack:
        leaving = Countdown(settings.server.shutdown_s)
        composer = _composer(settings, clock or Clock(), stack, leaving)
        parts, metrics, health = composer.parts, composer.parts.metrics, composer.parts.health
        metrics.build(__version__, commit())
        metrics.watch("troubles", "Troubles that /readyz names", lambda: float(len(health.troubles())))
        metrics.watch("tasks", "Tasks of the event loop", lambda: float(len(asyncio.all_tasks())))
        site, hits, purge, warming, watcher = await composer.site(routes)
        jobs = WarmJobs(warming.kit, warming.at_a_time)
        stack.push_async_callback(jobs.aclose)
        reporter = Reporter(metrics, composer.failures, health, jobs.state)
        await parts.background(reporter.follow())
        # The admin port closes last, so that /readyz says why until the end.
        servers = await Servers.tried(settings, stack)
        admin_port = 0
        if sockets is None or admin_sockets:
            orders = Orders(settings.admin, purge, jobs.begin)
            routes_there = [*status_routes(settings, reporter), *operators, *orders.routes()]
            admin_port = await servers.admin(site.admin_application(routes_there), admin_sockets)
        connection_limits = ConnectionLimits(room_for(settings.server.max_connections), settings.server, parts.metrics)
        await parts.background(connection_limits.watch())
        port = await servers.visitors(site.application(), hits, connection_limits, sockets)
        parts.health.is_ready = True
        await watch(parts, watcher)
        if any(entry.warm for entry in settings.publish):
            await parts.background(warming.keep_warm())
        try:
            yield Running(port, admin_port, health, metrics, hits, reporter, jobs)
        finally:
            parts.health.is_ready = False
            leaving.begin()


@asynccontextmanager
async def warming(settings: Settings) -> AsyncIterator[Kit]:
    """Build everything for warming folders, and serve nobody."""
    settings = with_sign_outs_kept(settings)
    async with AsyncExitStack() as stack:
        composer = _composer(settings, Clock(), stack, Countdown(settings.server.shutdown_s))
        *_, built, _ = await composer.site(())
        yield built.kit


def _composer(settings: Settings, clock: Clock, stack: AsyncExitStack, leaving: Countdown) -> _Composer:
    metrics = Metrics()
    parts = Parts(settings, clock, metrics, observer(settings, metrics, stack), Health(), stack, leaving)
    return _Composer(parts, failures(stack), arrivals_of(settings))


@dataclass(frozen=True, slots=True)
class _Composer:
    """Puts the web side onto the parts."""

    parts: Parts
    failures: Failures
    arrivals: Arrivals

    async def site(self, more: Sequence[web.RouteDef]) -> tuple[Applications, FastPath, GivePurge, Warming, Watcher]:
        """Build everything."""
        settings = self.parts.settings
        origins = Origins(settings.cloudreve.url, settings.cloudreve.public_origins, settings.cloudreve.image_hosts)
        trusted = await self.parts.session()
        images = Images(trusted, await self.parts.session(socket_factory=public_socket), origins, settings.cloudreve)
        cloudreve = Cloudreve(
            trusted, self.parts.clock, origins, self.parts.observer, settings.cloudreve, settings.grants
        )
        await meet(cloudreve, self.parts)
        tiers, sharing, shared_values, change_log, redis = await stores(self.parts)
        sign_outs = await self.parts.sign_outs(tiers, redis)
        feed = await change_feed(self.parts, tiers, change_log, sign_outs)
        owners = await share_owners(self.parts, cloudreve)
        grants = await self.parts.grants(cloudreve, tiers, sharing, feed, owners)
        pictures = await self.parts.pictures(images, tiers, sharing)
        encoders = self.parts.encoders()
        responder = Responder(pictures, await self.parts.variants(tiers, encoders, sharing), self.parts.clock)
        known = await infos(self.parts, responder, tiers, encoders, sharing)
        sealer, oauth = sealer_of(settings), OAuth(cloudreve, self.parts.observer, settings.sign_in)
        sessions = await self.parts.sessions(sealer, oauth, shared_values, sign_outs, sharing)
        identifier = await self.parts.identifier(cloudreve, sessions, accounts := await self.parts.accounts(oauth))
        ears = await ears_of(self.parts, cloudreve, sharing, shared_values, feed, owners, self.arrivals)
        watcher, interest = await watcher_of(self.parts, ears, accounts, oauth)
        heed = (interest.note, ears.recent.note) if settings.watch.max_subscriptions else ()
        steps = steps_of(identifier, Authoriser(grants, self.parts.clock.timer), grants, responder, known, heed)
        gateway = Gateway(steps, self.parts.observer, Bounds(settings.server.deadline_s, settings.grants.browser_s))
        sealed = SealedAccess(sealer, tiers, responder, feed, self.parts.clock, self.parts.metrics, settings)
        request_origin, negotiation = RequestOrigin(settings.server), Negotiation(settings.pictures)
        self.parts.health.heed(request_origin.troubles)
        cookies = SessionCookies(settings.session.cookie, request_origin)
        keys = Keys(request_origin, cookies, settings)
        clock, metrics = self.parts.clock, self.parts.metrics
        hits = FastPath(
            tiers, request_origin.trusts, feed.invalidations, clock, metrics, settings, keys, interest.touch
        )
        embed = Embed(rule := embedding(settings.embed, settings.session), request_origin)
        passthrough, site_cors = None, None
        if settings.server.passthrough:
            changes = Changes(feed, identifier, owners, shared_values, tiers, request_origin)
            way = await self.parts.stack.enter_async_context(passage(settings.cloudreve, self.parts.observer))
            passthrough = self._passthrough(way, request_origin, cookies, changes)
            site_cors = await self.parts.site_cors(way)
        handle = passthrough.handle if passthrough else None
        cross_origin = CrossOrigin(
            rule.private_origins, request_origin, site_cors.fields if site_cors else None, handle
        )
        search, max_uri_bytes = await info_search(self.parts, gateway, feed), settings.server.max_uri_bytes
        sign_in = SignIn(sessions, identifier, oauth, sealer, clock, cookies, request_origin, settings)
        routes = [
            *Thumbs(gateway, cookies, request_origin, embed, negotiation, self.parts.observer, max_uri_bytes).routes(),
            *ThumbInfo(search, cookies, request_origin, embed, negotiation, max_uri_bytes).routes(),
            *SessionApi(sessions, identifier, cookies, request_origin, settings, handle).routes(),
            *sign_in_routes(sign_in, self.parts.health, metrics),
            *SealedUrls(sealed, request_origin, embed, cross_origin, negotiation, self.parts.observer).routes(),
            *ThumbApi(gateway, sealed, request_origin, cross_origin, negotiation, max_uri_bytes).routes(),
            *more,
            *([] if passthrough else self._greeting(more)),
        ]
        log = request_log(settings, identifier, cookies, request_origin, self.failures)
        parts, fallback = self.parts, fallback_of(settings)
        site = Applications(parts.metrics, parts.observer, log, parts.health, cookies, passthrough, fallback, routes)
        await drop_purged(self.parts, feed, hits, tiers)
        warmer = Warmer(cloudreve, identifier, gateway, settings.pictures.formats)
        warming = Warming(warmer, accounts, settings, self.arrivals, has_tier=tiers.farthest is not Source.MEMORY)
        return site, hits, partial(purged, feed), warming, watcher

    def _greeting(self, more: Sequence[web.RouteDef]) -> list[web.RouteDef]:
        site = next(iter(self.parts.settings.cloudreve.public_origins), None)
        return [] if any(route.path == "/" for route in more) else Greeting(site).routes()

    def _passthrough(
        self, way: UpstreamClient, request_origin: RequestOrigin, cookies: SessionCookies, changes: Changes
    ) -> Passthrough:
        session = self.parts.settings.session
        if self.parts.settings.sign_in.client_id and not session.path.startswith("/api/"):
            _log.warning("session.path is outside /api/: the service worker of Cloudreve's page will answer for it")
        return Passthrough(way, request_origin, changes, cookies.names)
