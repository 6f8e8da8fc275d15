"""Two replicas of the gateway, the Redis that they share, and the site behind them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from deploy.benchmarks.port import free_port
from deploy.drills.gateway import POLL_S, Gateway
from deploy.drills.leaks.judge import GRANT_S, MARGIN_S
from deploy.drills.leaks.site import Site, User
from deploy.drills.redis_process import RedisProcess
from deploy.drills.steady_relay import SteadyRelay

PUBLISHED = "/press"
DESCRIPTORS = 4096
REPLICAS = 2
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What differs from round to round."""

    has_passthrough: bool = False
    workers: int = 1
    """How many processes a replica has."""


ROUNDS = (Terms(), Terms(has_passthrough=True), Terms(workers=2), Terms(has_passthrough=True, workers=2))


@dataclass
class Stage:
    """What there is to act on; the gateways change from round to round."""

    site: Site
    http: aiohttp.ClientSession
    redis: RedisProcess
    gateways: list[Gateway]
    relay: SteadyRelay
    """Between the gateways and the site."""
    terms: Terms
    steady: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a change goes through a replica, and while one is exchanged: a change that is cut is in doubt."""

    def door(self, replica: int) -> str:
        """Give the address of a replica."""
        return f"http://127.0.0.1:{self.gateways[replica].port}"

    async def restart(self, replica: int) -> None:
        """Kill a replica and start another in its place."""
        gateway = self.gateways[replica]
        async with self.steady:
            self.relay.is_killed = True
            gateway.kill()
            await _is_silent(gateway.port)
            await gateway.start(ports=(gateway.port, gateway.admin_port))
            self.relay.is_killed = False


@asynccontextmanager
async def staged(
    site: Site, http: aiohttp.ClientSession, redis: RedisProcess, folder: Path, terms: Terms
) -> AsyncIterator[Stage]:
    """Start two gateways; end them."""
    publisher = next(iter(site.users.values()))
    configuration = folder / "gateway.toml"
    await asyncio.to_thread(configuration.write_text, _written(site, redis, publisher, terms))
    settings = {"CONFIG": str(configuration)}
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(SteadyRelay(site.url).open())
        gateways = [
            Gateway(relay.url, folder / f"gateway-{number}.log", DESCRIPTORS, **settings) for number in range(REPLICAS)
        ]
        for gateway in gateways:
            stack.callback(gateway.kill)
            await gateway.start(ports=(free_port(), free_port()))
        yield Stage(site, http, redis, gateways, relay, terms)
        relay.is_killed = True


async def _is_silent(port: int) -> None:
    """Wait until nothing listens: a killed supervisor's workers notice its end by themselves."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            writer.close()
            await asyncio.sleep(POLL_S)


def _written(site: Site, redis: RedisProcess, publisher: User, terms: Terms) -> str:
    """Write the gateways' configuration."""
    return f"""
[server]
passthrough = {json.dumps(terms.has_passthrough)}
workers = {terms.workers}
[cloudreve]
public_origins = ["{site.url}"]
image_hosts = ["127.0.0.1"]
[session]
path = "/api/session"
[redis]
url = "{redis.url}"
pause_s = 0.2
[seal]
keys = ["0123456789abcdef0123456789abcdef"]
[grants]
max_ttl_s = {GRANT_S}
margin_s = {MARGIN_S}
renew_s = 1.0
[pictures]
formats = ["avif", "webp"]
[refusals]
not_found_s = 1.0
denied_s = 1.0
[[publish]]
prefix = "cloudreve://my{PUBLISHED}"
email = "{publisher.email}"
secret = "{publisher.password}"
"""
