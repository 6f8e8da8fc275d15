"""The composition root: builds every object, wires them, and closes them again."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import aiohttp
import structlog
from aiohttp import web

from proxy.accounts import Account, Accounts
from proxy.answer import Answers
from proxy.cache.lease import Leases
from proxy.cache.memory import MemoryTier
from proxy.cache.news import News
from proxy.cache.notes import Notes
from proxy.cache.redis import RedisTier
from proxy.cache.tiers import Tiers
from proxy.cluster import Alone, Cluster
from proxy.errors import ProxyError
from proxy.fairness import FairLimit
from proxy.flight import Flights
from proxy.gateway import Gateway
from proxy.grants import Grants
from proxy.identify import Identifier
from proxy.metrics import Metrics
from proxy.model import Grant, Refusal
from proxy.pictures import Pictures
from proxy.policy.embedding import Embedding
from proxy.policy.guard import Origins
from proxy.policy.keys import site_digest
from proxy.policy.publish import PublishedFolder
from proxy.policy.seal import Sealer
from proxy.policy.sniff import SNIFF_BYTES, media_type
from proxy.policy.uri import parse
from proxy.resolver import Resolver
from proxy.sealed import Sealed
from proxy.session import Sessions
from proxy.settings import MAX_FOLDER_BYTES, AdminSettings, ServerSettings, Settings
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.images import Images, public_socket
from proxy.upstream.oauth import OAuth
from proxy.upstream.passthrough import passage
from proxy.web.api import ThumbApi
from proxy.web.embed import Embed, Fallback
from proxy.web.front import Front
from proxy.web.health import Health
from proxy.web.hitpath import HitPath, HitRunner
from proxy.web.jar import Jar
from proxy.web.passthrough import Passthrough
from proxy.web.sealed import SealedUrls
from proxy.web.session import SessionApi
from proxy.web.sign_in import SignIn
from proxy.web.site import Site
from proxy.web.thumb import Thumbs

T = TypeVar("T")

_log = structlog.get_logger("proxy.app")


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers."""

    port: int
    admin_port: int
    health: Health
    metrics: Metrics


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; then take no more, finish what is under way, and leave."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with running(settings) as gateway:
        _log.info("serving", host=settings.server.host, port=gateway.port, admin_port=gateway.admin_port)
        await stopped.wait()
        _log.info("draining")


@asynccontextmanager
async def running(
    settings: Settings, clock: Clock | None = None, routes: Sequence[web.RouteDef] = ()
) -> AsyncIterator[Running]:
    """Build and start everything, and serve `routes` beside it; at the end let requests finish and close everything."""
    async with AsyncExitStack() as stack:
        composer = _Composer(settings, clock or Clock(), Metrics(), Health(), stack)
        site = await composer.site(routes)
        # The admin port closes last, so that /readyz says why until the end.
        admin_port = await composer.listen(web.AppRunner, site.admin_application(), settings.admin)
        runner = partial(HitRunner, hits=site.hits)
        port = await composer.listen(runner, site.application(), settings.server)
        composer.health.is_ready = True
        try:
            yield Running(port, admin_port, composer.health, composer.metrics)
        finally:
            composer.health.is_ready = False


@dataclass(frozen=True, slots=True)
class _Composer:
    """Builds the objects of one process; what has to be closed is closed in the opposite order."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    health: Health
    stack: AsyncExitStack

    async def site(self, more: Sequence[web.RouteDef]) -> Site:
        """Build everything."""
        settings = self.settings
        origins = Origins(settings.cloudreve.url, settings.cloudreve.public_origins, settings.cloudreve.image_hosts)
        trusted = await self._session()
        images = Images(trusted, await self._session(socket_factory=public_socket), origins, settings.cloudreve)
        cloudreve = Cloudreve(trusted, self.clock, origins, self.metrics, settings.cloudreve, settings.grants)
        await _greet(cloudreve)
        await self._background(cloudreve.breaker.watch())
        tiers, cluster, notes = await self._tiers()
        grants = await self._grants(cloudreve, tiers, cluster)
        answers = Answers(await self._pictures(images, tiers, cluster), self.clock)
        sealer, oauth = self._sealer(), OAuth(cloudreve, self.metrics, settings.sign_in)
        sessions = await self._sessions(sealer, oauth, notes, cluster)
        identifier = await self._identifier(cloudreve, sessions, await self._accounts(oauth))
        gateway = Gateway(identifier, grants, answers, settings.server.deadline_s)
        is_narrated = settings.log.level in ("debug", "info")
        hits = HitPath(tiers.lookup, self.clock, self.metrics, settings.grants.renew_s, is_narrated)
        sealed = Sealed(sealer, tiers, answers, self.clock, self.metrics, settings)
        front = Front(settings.server)
        jar = Jar(settings.session.cookie, front)
        embed = Embed(Embedding(settings.embed.private_origins, settings.embed.public_origins), front)
        routes = [
            *Thumbs(gateway, jar, front, embed, settings.server.max_uri_bytes).routes(),
            *SessionApi(sessions, identifier, jar, hits, settings).routes(),
            *SignIn(sessions, identifier, oauth, sealer, self.clock, jar, settings).routes(),
            *SealedUrls(sealed, front, embed).routes(),
            *ThumbApi(gateway, sealed, front, settings.server.max_uri_bytes).routes(),
            *more,
        ]
        passthrough = await self._passthrough(front, jar)
        return Site(self.metrics, self.health, hits, jar, passthrough, self._fallback(), routes)

    async def _passthrough(self, front: Front, jar: Jar) -> Passthrough | None:
        if not self.settings.server.passthrough:
            return None
        way = await self.stack.enter_async_context(passage(self.settings.cloudreve, self.metrics))
        return Passthrough(way, front, jar.names)

    def _fallback(self) -> Fallback | None:
        path = self.settings.embed.fallback
        if path is None:
            return None
        body = path.read_bytes()
        return Fallback(media_type(body[:SNIFF_BYTES]) or "application/octet-stream", body)

    def _sealer(self) -> Sealer:
        keys = [key.get_secret_value() for key in self.settings.seal.keys]
        if not keys:
            _log.warning("no seal.keys: sealed URLs and cookies open in this process only, and not after a restart")
        return Sealer(keys or [secrets.token_urlsafe(32)])

    async def _sessions(self, sealer: Sealer, oauth: OAuth, notes: Notes, cluster: Cluster | Alone) -> Sessions:
        flights = await self._flights(Flights[str](self.settings.cloudreve.max_waiting))
        site = site_digest(self.settings.cloudreve.url)
        return Sessions(sealer, oauth, notes, cluster, self.clock, flights, site)

    async def _identifier(self, cloudreve: Cloudreve, sessions: Sessions, accounts: Accounts) -> Identifier:
        secret = self.settings.cloudreve.secret_key
        secret_key = secret.get_secret_value().encode() if secret else None
        flights = await self._flights(Flights[str | None](self.settings.cloudreve.max_waiting))
        identity = self.settings.identity
        return Identifier(cloudreve, self.clock, self.metrics, flights, identity, secret_key, sessions, accounts)

    async def _accounts(self, oauth: OAuth) -> Accounts:
        entries = list(enumerate(self.settings.publish))
        folders = [PublishedFolder(parse(entry.prefix, MAX_FOLDER_BYTES), number) for number, entry in entries]
        accounts = Accounts([Account(number, entry, oauth, self.clock) for number, entry in entries], folders)
        self.stack.push_async_callback(accounts.aclose)
        if entries:
            await self._background(accounts.keep_fresh())
            self.metrics.watch("accounts_failing", "Published accounts without a token", lambda: len(accounts.failing))
            self.health.troubles = lambda: [f"publish {number + 1} fails: no token" for number in accounts.failing]
        return accounts

    async def _grants(self, cloudreve: Cloudreve, tiers: Tiers, cluster: Cluster | Alone) -> Grants:
        settings = self.settings
        limit = FairLimit(settings.cloudreve.max_resolves, settings.cloudreve.max_waiting // 4)
        resolver = Resolver(cloudreve, cluster, limit, settings.server.deadline_s)
        # Leaving while Cloudreve generates a thumbnail may lock the file for a day (seen once on 4.14.0).
        flights = await self._flights(
            Flights[Grant | Refusal](settings.cloudreve.max_waiting), settings.server.shutdown_s
        )
        return Grants(tiers, resolver, self.clock, self.metrics, flights, cluster, settings)

    async def _pictures(self, images: Images, tiers: Tiers, cluster: Cluster | Alone) -> Pictures:
        settings = self.settings
        limit = FairLimit(settings.cloudreve.max_fetches, settings.cloudreve.max_waiting // 4)
        flights = await self._flights(Flights[None](settings.cloudreve.max_waiting))
        return Pictures(tiers, images, self.metrics, flights, cluster, limit, settings.pictures)

    async def _tiers(self) -> tuple[Tiers, Cluster | Alone, Notes]:
        """Build what is kept, and who shares the work: all replicas of one Redis, or nobody."""
        settings = self.settings
        memory = MemoryTier(settings.memory.max_bytes, self.clock.timer)
        self.metrics.watch("memory_bytes", "Bytes held by the memory tier", lambda: memory.size_bytes)
        if settings.redis.url is None:
            return Tiers(memory, None), Alone(), Notes(None, self.clock.now)
        redis = RedisTier.from_settings(settings.redis, settings.cloudreve.url, self.metrics.redis_trouble)
        self.stack.push_async_callback(redis.aclose)
        self.metrics.watch("redis_up", "1 when Redis answers, 0 while it is paused", lambda: float(redis.is_up))
        news = News(redis.client, redis.namespace)
        await self._background(news.listen())
        cluster = Cluster(Leases(redis.client, redis.line, news, redis.namespace), news)
        return Tiers(memory, redis), cluster, Notes(redis, self.clock.now)

    async def _session(self, **connector: Any) -> aiohttp.ClientSession:  # noqa: ANN401 - passed on as is
        """Make a way out. Its connections are not limited: how many calls are under way is decided in the steps."""
        return await self.stack.enter_async_context(
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, **connector),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": "thumb-proxy"},
            )
        )

    async def _flights(self, flights: Flights[T], patience_s: float = 0.0) -> Flights[T]:
        self.stack.push_async_callback(flights.aclose, patience_s)
        return flights

    async def _background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something until the end."""
        task = asyncio.get_running_loop().create_task(work)

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self.stack.push_async_callback(stop)

    async def listen(
        self, runner_of: Callable[..., web.AppRunner], app: web.Application, where: ServerSettings | AdminSettings
    ) -> int:
        """Serve an application and give its port; leaving, it stops accepting first and then waits for its requests."""
        server = self.settings.server
        runner = runner_of(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=server.shutdown_s,
            max_line_size=server.max_header_bytes,
            max_field_size=server.max_header_bytes,
            auto_decompress=False,  # a body that is passed to Cloudreve stays as it is
        )
        await runner.setup()
        self.stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, where.host, where.port).start()
        return int(runner.addresses[0][1])


async def _greet(cloudreve: Cloudreve) -> None:
    """Learn Cloudreve's clock before the first visitor comes; without it the gateway starts all the same."""
    try:
        await cloudreve.ping()
    except ProxyError as error:
        _log.warning("Cloudreve does not answer yet", category=error.category)
