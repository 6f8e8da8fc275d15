"""Whether this process is alive, and whether it may take traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web


@dataclass(slots=True)
class Health:
    """Whether traffic may come; one per process."""

    is_ready: bool = False
    _troubles: list[Callable[[], Iterable[str]]] = field(default_factory=list)

    def watch(self, troubles: Callable[[], Iterable[str]]) -> None:
        """Show from now on the troubles that a function gives."""
        self._troubles.append(troubles)

    def troubles(self) -> list[str]:
        """Tell what an operator should see to; the process is ready all the same, since every replica would have it."""
        return [trouble for told in self._troubles for trouble in told()]

    def routes(self, *, names_troubles: bool = False) -> list[web.RouteDef]:
        """Make the routes that both ports have; troubles hold addresses and paths, which are no visitor's affair."""

        async def readyz(_: web.Request) -> web.Response:
            if not self.is_ready:
                return plain("draining", status=HTTPStatus.SERVICE_UNAVAILABLE)
            return plain("ready", *(self.troubles() if names_troubles else ()))

        return [web.get("/healthz", healthz), web.get("/readyz", readyz)]

    def let_go(self, response: web.StreamResponse) -> None:
        """Close a connection after its answer while the process is not ready."""
        if not self.is_ready and response.status != HTTPStatus.SWITCHING_PROTOCOLS:
            response.force_close()
            response.headers["Connection"] = "close"


async def healthz(_: web.Request) -> web.Response:
    """Answer that the process is alive."""
    return plain("alive")


def plain(*lines: str, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """Make an answer of lines of plain text that is not cached."""
    text = "".join(f"{line}\n" for line in lines)
    return web.Response(text=text, status=status, headers={"Cache-Control": "no-store"})
