"""The sites of one test, each under a name of its own: gateways, and pages around them."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from html import escape

from aiohttp import web

from proxy.app import Running, running
from proxy.upstream.clock import Clock
from tests.browser.door import Door
from tests.gateway.house import settings_for
from tests.gateway.places import thumb

THUMBS = "thumbs.site.test"
WWW = "www.site.test"
ELSEWHERE = "www.elsewhere.test"
Pages = Mapping[str, str]
"""What is to be found under which path."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A gateway under the name by which browsers know it."""

    origin: str
    gateway: Running

    def count(self, name: str, **labels: str) -> float:
        """Read one of the gateway's counters; what was never counted is 0."""
        return self.gateway.metrics.registry.get_sample_value(f"thumb_proxy_{name}", labels) or 0.0


class Stage:
    """Opens sites on https, or on plain http, where browsers say less and allow less."""

    def __init__(self, tls: ssl.SSLContext | None, stack: AsyncExitStack) -> None:
        self._tls = tls
        self._stack = stack

    @property
    def scheme(self) -> str:
        """Tell which of the two."""
        return "https" if self._tls else "http"

    async def pages(self, host: str, pages: Pages) -> str:
        """Serve static pages; give their origin."""
        app = web.Application()
        app.add_routes(routes(pages))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        door = await self._door()
        door.leads_to = runner.addresses[0][1]
        return f"{self.scheme}://{host}:{door.port}"

    async def gateway(
        self, cloudreve: str, *, host: str = THUMBS, clock: Clock | None = None, pages: Pages | None = None, **more: object
    ) -> Scene:
        """Open a gateway before the Cloudreve at this address; `pages` are its site's own, `more` settings."""
        door = await self._door()
        origin = f"{self.scheme}://{host}:{door.port}"
        server = {"public_origin": origin, **_table(more.pop("server", {}))}
        settings = settings_for(cloudreve, server=server, **more)
        gateway = await self._stack.enter_async_context(running(settings, clock, routes(pages or {})))
        door.leads_to = gateway.port
        return Scene(origin, gateway)

    async def _door(self) -> Door:
        return await self._stack.enter_async_context(Door(self._tls))


def routes(pages: Pages) -> list[web.RouteDef]:
    """Make routes of pages."""
    return [web.get(path, _handler(text)) for path, text in pages.items()]


def album(origin: str, uris: Iterable[str], attributes: str = "") -> str:
    """Write a page of pictures."""
    images = "".join(f'<img {attributes} src="{escape(origin + thumb(uri))}">\n' for uri in uris)
    return f"<!doctype html><html lang=en><title>Album</title>\n{images}</html>"


def _handler(text: str):  # type: ignore[no-untyped-def]
    async def show(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html", headers={"Cache-Control": "no-store"})

    return show


def _table(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value
