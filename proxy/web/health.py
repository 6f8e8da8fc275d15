"""Whether this process is alive, and whether it may take traffic."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web


@dataclass(slots=True)
class Health:
    """Whether traffic may come; one per process."""

    is_ready: bool = False

    def routes(self) -> list[web.RouteDef]:
        """Make the routes that both ports have."""
        return [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]

    async def _healthz(self, _: web.Request) -> web.Response:
        return _plain("alive\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self.is_ready:
            return _plain("ready\n")
        return _plain("draining\n", HTTPStatus.SERVICE_UNAVAILABLE)


def _plain(text: str, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(text=text, status=status, headers={"Cache-Control": "no-store"})
