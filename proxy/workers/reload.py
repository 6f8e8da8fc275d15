"""A wish for another configuration: it is read anew, and what of it takes a restart is told."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from http import HTTPStatus

import structlog
from aiohttp import web

from proxy.domain.errors import ProxyError
from proxy.http.health import plain
from proxy.http.orders import check_order
from proxy.settings import Settings
from proxy.settings.sources import ConfigError

FIXED = ("server.host", "server.port", "admin.host", "admin.port", "admin.token")
"""The keys that count at the start alone: the ports are open already, and the parent keeps the guard of its own."""

_log = structlog.get_logger("proxy.workers.reload")


class Reload:
    """Takes wishes by SIGHUP and by `POST /reload`, and hands out the newest settings wished for."""

    def __init__(self, reread: Callable[[], Settings], settings: Settings) -> None:
        self._reread = reread
        self.settings = settings
        """Those wished for last."""
        self._is_wanted = asyncio.Event()

    def listen(self) -> None:
        """Take SIGHUP from now on."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_signal)

    def route(self) -> web.RouteDef:
        """Make the route of the admin port."""
        return web.post("/reload", self._answer)

    def ask(self) -> list[str]:
        """Read the configuration and wish for it; give the keys that keep their values, or raise ConfigError."""
        settings = self._reread()
        kept = [key for key in FIXED if _value(settings, key) != _value(self.settings, key)]
        server = settings.server.model_copy(
            update={"host": self.settings.server.host, "port": self.settings.server.port}
        )
        self.settings = settings.model_copy(update={"server": server, "admin": self.settings.admin})
        self._is_wanted.set()
        if kept:
            _log.warning("these settings cannot change at run time", keys=kept, advice="restart for them")
        return kept

    async def wanted(self) -> Settings:
        """Wait for a wish."""
        await self._is_wanted.wait()
        return self.take()

    def take(self) -> Settings:
        """Give the settings wished for last, which counts as the answer to all wishes so far."""
        self._is_wanted.clear()
        return self.settings

    def _on_signal(self) -> None:
        try:
            self.ask()
        except ConfigError as error:
            _log.error("the configuration cannot be used; the one of before stays", problems=list(error.problems))

    async def _answer(self, request: web.Request) -> web.Response:
        """Say what will happen; whether it has, the log says."""
        try:
            check_order(request, self.settings.admin)
        except ProxyError as error:
            return plain(error.detail, status=error.status)
        try:
            kept = self.ask()
        except ConfigError as error:
            return plain(*error.problems, status=HTTPStatus.UNPROCESSABLE_ENTITY)
        return plain("reloading", *(f"{key} takes a restart" for key in kept), status=HTTPStatus.ACCEPTED)


def _value(settings: Settings, key: str) -> object:
    section, _, name = key.partition(".")
    return getattr(getattr(settings, section), name)
