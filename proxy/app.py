"""The composition root: builds every object, wires them, and closes them again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import structlog
from aiohttp import web

from proxy.answer import Answers
from proxy.cache.lease import Leases
from proxy.cache.memory import MemoryTier
from proxy.cache.news import News
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
from proxy.policy.guard import Origins
from proxy.resolver import Resolver
from proxy.settings import Settings
from proxy.upstream.clock import Clock
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.images import Images, public_socket
from proxy.web.health import Health
from proxy.web.site import Site
from proxy.web.thumb import Thumbs

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
async def running(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Running]:
    """Build and start everything; at the end stop accepting, let requests finish, then close everything."""
    metrics, health = Metrics(), Health()
    async with AsyncExitStack() as stack:
        site = await _build(settings, clock or Clock(), metrics, health, stack)
        admin_port = await _listen(site.admin_application(), settings.admin.host, settings.admin.port, settings, stack)
        port = await _listen(site.application(), settings.server.host, settings.server.port, settings, stack)
        health.is_ready = True
        try:
            yield Running(port, admin_port, health, metrics)
        finally:
            health.is_ready = False


async def _build(settings: Settings, clock: Clock, metrics: Metrics, health: Health, stack: AsyncExitStack) -> Site:
    bound = settings.cloudreve.max_waiting
    origins = Origins(settings.cloudreve.url, settings.cloudreve.public_origins, settings.cloudreve.image_hosts)
    trusted = await _session(stack)
    guarded = await _session(stack, socket_factory=public_socket)
    tiers, cluster = await _tiers(settings, clock, metrics, stack)
    whoamis, resolves, fetches = (
        await _flights(stack, Flights[str | None](bound)),
        await _flights(stack, Flights[Grant | Refusal](bound)),
        await _flights(stack, Flights[None](bound)),
    )
    cloudreve = Cloudreve(trusted, clock, origins, metrics, settings.cloudreve, settings.grants)
    await _greet(cloudreve)
    await _background(stack, cloudreve.breaker.watch())
    secret = settings.cloudreve.secret_key
    secret_key = secret.get_secret_value().encode() if secret else None
    identifier = Identifier(cloudreve, clock, metrics, whoamis, settings.identity, secret_key)
    limit = FairLimit(settings.cloudreve.max_resolves, bound // 4)
    resolver = Resolver(cloudreve, cluster, limit, settings.server.deadline_s)
    grants = Grants(tiers, resolver, clock, metrics, resolves, cluster, settings)
    images = Images(trusted, guarded, origins, settings.cloudreve)
    fetch_limit = FairLimit(settings.cloudreve.max_fetches, bound // 4)
    pictures = Pictures(tiers, images, metrics, fetches, cluster, fetch_limit, settings.pictures)
    answers = Answers(pictures, clock)
    gateway = Gateway(identifier, grants, answers, settings.server.deadline_s)
    return Site(metrics, health, Thumbs(gateway, settings.server.max_uri_bytes).routes())


async def _session(stack: AsyncExitStack, **connector: Any) -> aiohttp.ClientSession:  # noqa: ANN401 - passed on as is
    """Make a way out. Its connections are not limited: how many calls are under way is decided in the steps."""
    return await stack.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, **connector),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers={"User-Agent": "thumb-proxy"},
        )
    )


async def _tiers(
    settings: Settings, clock: Clock, metrics: Metrics, stack: AsyncExitStack
) -> tuple[Tiers, Cluster | Alone]:
    """Build what is kept, and who shares the work: all replicas of one Redis, or nobody."""
    memory = MemoryTier(settings.memory.max_bytes, clock.timer)
    metrics.watch("memory_bytes", "Bytes held by the memory tier", lambda: memory.size_bytes)
    if settings.redis.url is None:
        return Tiers(memory, None), Alone()
    redis = RedisTier.from_settings(settings.redis, settings.cloudreve.url, metrics.redis_trouble)
    stack.push_async_callback(redis.aclose)
    metrics.watch("redis_up", "1 when Redis answers, 0 while it is paused", lambda: float(redis.is_up))
    news = News(redis.client, redis.namespace)
    await _background(stack, news.listen())
    return Tiers(memory, redis), Cluster(Leases(redis.client, redis.line, news, redis.namespace), news)


async def _flights(stack: AsyncExitStack, flights: Flights[Any]) -> Flights[Any]:
    stack.push_async_callback(flights.aclose)
    return flights


async def _background(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Run something until the end."""
    task = asyncio.get_running_loop().create_task(work)

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)


async def _greet(cloudreve: Cloudreve) -> None:
    """Learn Cloudreve's clock before the first visitor comes; without it the gateway starts all the same."""
    try:
        await cloudreve.ping()
    except ProxyError as error:
        _log.warning("Cloudreve does not answer yet", category=error.category)


async def _listen(app: web.Application, host: str, port: int, settings: Settings, stack: AsyncExitStack) -> int:
    """Serve one application and give its port; leaving, it stops accepting first and then waits for its requests."""
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=settings.server.shutdown_s,
        max_line_size=settings.server.max_header_bytes,
        max_field_size=settings.server.max_header_bytes,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, host, port)
    await site.start()
    return int(runner.addresses[0][1])
