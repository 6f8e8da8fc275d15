"""The sites of one test, each under a name of its own: gateways, and pages around them."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from html import escape
from typing import Any

from aiohttp import web

from proxy.upstream.clock import Clock
from proxy.wiring.process import Running, running
from tests.harness.gateways import settings_for
from tests.harness.relay import Relay
from tests.harness.sites import thumb

THUMBS = "thumbs.site.test"
WWW = "www.site.test"
ELSEWHERE = "www.elsewhere.test"


@dataclass(frozen=True, slots=True)
class Pages:
    """Static pages, which may be written after their site has opened."""

    origin: str = ""
    written: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, text: str) -> str:
        """Publish a page; give its URL."""
        self.written[name] = f"<!doctype html><html lang=en><title>{name}</title>\n{text}</html>"
        return f"{self.origin}/pages/{name}"

    def routes(self) -> list[web.RouteDef]:
        """Make the route."""
        return [web.get("/pages/{name}", self._show)]

    async def _show(self, request: web.Request) -> web.Response:
        text = self.written[request.match_info["name"]]
        return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})


@dataclass(frozen=True, slots=True)
class Scene:
    """A gateway under the name by which browsers know it, and pages beside it."""

    origin: str
    pages: Pages
    gateway: Running
    relay: Relay

    def count(self, name: str, **labels: str) -> float:
        """Read one of the gateway's counters; what was never counted is 0."""
        return self.gateway.metrics.registry.get_sample_value(f"thumb_proxy_{name}", labels) or 0.0


class Stage:
    """Opens sites on https, or on plain http, where browsers say less and allow less."""

    def __init__(self, tls: ssl.SSLContext | None, stack: AsyncExitStack) -> None:
        self._tls = tls
        self._stack = stack

    async def pages(self, host: str) -> Pages:
        """Open a site of static pages."""
        relay, origin = await self._relay(host)
        pages = Pages(origin)
        app = web.Application()
        app.add_routes(pages.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        relay.upstream_port = runner.addresses[0][1]
        return pages

    async def gateway(
        self,
        cloudreve: str,
        clock: Clock | None = None,
        host: str = THUMBS,
        **sections: Any,  # noqa: ANN401
    ) -> Scene:
        """Open a gateway before the Cloudreve at this address; `sections` are settings."""
        relay, origin = await self._relay(host)
        pages = Pages(origin)
        sections["server"] = {"public_origin": origin, **sections.get("server", {})}
        settings = settings_for(cloudreve, **sections)
        gateway = await self._stack.enter_async_context(running(settings, clock, pages.routes()))
        relay.upstream_port = gateway.port
        return Scene(origin, pages, gateway, relay)

    async def _relay(self, host: str) -> tuple[Relay, str]:
        relay = await self._stack.enter_async_context(Relay(tls=self._tls))
        return relay, f"{'https' if self._tls else 'http'}://{host}:{relay.port}"


def images(origin: str, uris: Iterable[str], attributes: str = "") -> str:
    return "".join(f'<img {attributes} src="{escape(origin + thumb(uri))}">\n' for uri in uris)
