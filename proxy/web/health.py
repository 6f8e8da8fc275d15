"""Whether this process is alive, and whether it may take traffic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web


@dataclass(slots=True)
class Health:
    """Whether traffic may come; one per process."""

    is_ready: bool = False
    troubles: Callable[[], Sequence[str]] = tuple
    """What an operator should look after although traffic may come: every replica would be the same."""

    def routes(self) -> list[web.RouteDef]:
        """Make the routes that both ports have."""
        return [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)]

    async def let_go(self, _: web.Request, response: web.StreamResponse) -> None:
        """End a connection with its answer when traffic is to go elsewhere; for `on_response_prepare`."""
        if not self.is_ready and response.status != HTTPStatus.SWITCHING_PROTOCOLS:
            response.force_close()
            response.headers["Connection"] = "close"

    async def _healthz(self, _: web.Request) -> web.Response:
        return plain("alive\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self.is_ready:
            return plain("".join(f"{line}\n" for line in ("ready", *self.troubles())))
        return plain("draining\n", HTTPStatus.SERVICE_UNAVAILABLE)


def plain(text: str, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Answer with a text that nobody keeps."""
    return web.Response(text=text, status=status, headers={"Cache-Control": "no-store"})
