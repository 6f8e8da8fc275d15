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
from proxy.fastpath.index import FastPath
from proxy.fastpath.key import Keys
from proxy.gateway import Bounds, Gateway
from proxy.grants.purge import GivePurge, purged
from proxy.http.applications import Applications
from proxy.http.connection_limits import ConnectionLimits
from proxy.http.file_descriptors import room_for
from proxy.http.health import Health
from proxy.http.orders import Orders
from proxy.live_events.arrivals import Arrivals
from proxy.live_events.watcher import Watcher
from proxy.observe.failures import Failures
from proxy.observe.metrics import Metrics
from proxy.settings import Settings
from proxy.upstream.clock import Clock
from proxy.version import commit
from proxy.warm.jobs import WarmJobs
from proxy.warm.kit import Kit
from proxy.warm.warmer import Warmer
from proxy.wiring.changes import drop_purged
from proxy.wiring.core import Core, core_of
from proxy.wiring.disk import with_sign_outs_kept
from proxy.wiring.live_events import Listening, arrivals_of, listening_of, watch
from proxy.wiring.observation import failures, observer, request_log, status_routes
from proxy.wiring.of_settings import fallback_of
from proxy.wiring.parts import Parts
from proxy.wiring.routes import RequestReaders, readers_of, routes_of, site_behind
from proxy.wiring.servers import Servers
from proxy.wiring.steps import steps_of
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
        site = await composer.site(routes)
        jobs = WarmJobs(site.warming.kit, site.warming.at_a_time)
        stack.push_async_callback(jobs.aclose)
        reporter = Reporter(metrics, composer.failures, health, jobs.state)
        await parts.background(reporter.follow())
        # The admin port closes last, so that /readyz says why until the end.
        servers = await Servers.tried(settings, stack)
        admin_port = 0
        if sockets is None or admin_sockets:
            orders = Orders(settings.admin, site.purge, jobs.begin)
            routes_there = [*status_routes(settings, reporter), *operators, *orders.routes()]
            admin_port = await servers.admin(site.applications.admin_application(routes_there), admin_sockets)
        connection_limits = ConnectionLimits(room_for(settings.server.max_connections), settings.server, parts.metrics)
        await parts.background(connection_limits.watch())
        port = await servers.visitors(site.applications.application(), site.hits, connection_limits, sockets)
        parts.health.is_ready = True
        await watch(parts, site.watcher)
        if any(entry.warm for entry in settings.publish):
            await parts.background(site.warming.keep_warm())
        try:
            yield Running(port, admin_port, health, metrics, site.hits, reporter, jobs)
        finally:
            parts.health.is_ready = False
            leaving.begin()


@asynccontextmanager
async def warming(settings: Settings) -> AsyncIterator[Kit]:
    """Build everything for warming folders, and serve nobody."""
    settings = with_sign_outs_kept(settings)
    async with AsyncExitStack() as stack:
        composer = _composer(settings, Clock(), stack, Countdown(settings.server.shutdown_s))
        yield (await composer.site(())).warming.kit


def _composer(settings: Settings, clock: Clock, stack: AsyncExitStack, leaving: Countdown) -> _Composer:
    metrics = Metrics()
    parts = Parts(settings, clock, metrics, observer(settings, metrics, stack), Health(), stack, leaving)
    return _Composer(parts, failures(stack), arrivals_of(settings))


@dataclass(frozen=True, slots=True)
class _Site:
    """The applications of one process, and the objects behind them that `running` starts."""

    applications: Applications
    hits: FastPath
    purge: GivePurge
    warming: Warming
    watcher: Watcher


@dataclass(frozen=True, slots=True)
class _Composer:
    """Puts the web side onto the parts."""

    parts: Parts
    failures: Failures
    arrivals: Arrivals

    async def site(self, more: Sequence[web.RouteDef]) -> _Site:
        """Build everything."""
        parts, settings = self.parts, self.parts.settings
        core, readers = await core_of(parts), readers_of(settings)
        listening = await listening_of(parts, core, self.arrivals)
        steps = steps_of(core, parts.clock.timer, listening.heed)
        gateway = Gateway(steps, parts.observer, Bounds(settings.server.deadline_s, settings.grants.browser_s))
        hits = self._fast_path(core, readers, listening)
        behind = await site_behind(parts, core, readers)
        routes = await routes_of(parts, core, gateway, readers, behind, more)
        log = request_log(settings, core.identifier, readers.cookies, readers.request_origin, self.failures)
        handler, fallback = behind.passthrough if behind else None, fallback_of(settings)
        applications = Applications(
            parts.metrics, parts.observer, log, parts.health, readers.cookies, handler, fallback, routes
        )
        await drop_purged(parts, core.feed, hits, core.stores.tiers)
        return _Site(applications, hits, partial(purged, core.feed), self._warming(core, gateway), listening.watcher)

    def _fast_path(self, core: Core, readers: RequestReaders, listening: Listening) -> FastPath:
        parts, origin = self.parts, readers.request_origin
        keys, changes = Keys(origin, readers.cookies, parts.settings), core.feed.invalidations
        clock, metrics, settings = parts.clock, parts.metrics, parts.settings
        return FastPath(core.stores.tiers, origin.trusts, changes, clock, metrics, settings, keys, listening.touch)

    def _warming(self, core: Core, gateway: Gateway) -> Warming:
        settings, has_tier = self.parts.settings, core.stores.tiers.farthest is not Source.MEMORY
        warmer = Warmer(core.cloudreve, core.identifier, gateway, settings.pictures.formats)
        return Warming(warmer, core.accounts, settings, self.arrivals, has_tier=has_tier)
