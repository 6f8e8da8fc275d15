"""The servers of one process: visitors' and operators' ports."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from socket import gaierror, socket

import structlog
from aiohttp import web

from proxy.fastpath.index import FastPath
from proxy.fastpath.protocol import FastPathRunner
from proxy.http import aiohttp_trial
from proxy.http.connection_limits import ConnectionLimits
from proxy.http.server import Runner
from proxy.observe import prometheus_private
from proxy.passthrough.client import HELD_BYTES
from proxy.settings import AdminSettings, ServerSettings, Settings

BACKLOG = 1024
"""How many visitors may wait to be let in."""

_log = structlog.get_logger("proxy.wiring.process")


@dataclass(frozen=True, slots=True)
class Servers:
    """Listens. Leaving, a server stops accepting first and then waits for its requests."""

    settings: Settings
    stack: AsyncExitStack
    is_plain: bool
    """Whether aiohttp's own server answers, since private names of libraries do not hold."""

    @classmethod
    async def tried(cls, settings: Settings, stack: AsyncExitStack) -> Servers:
        """Try out the private names that the fast path rests on, and make the servers."""
        reason = await aiohttp_trial.fault() or prometheus_private.fault()
        if reason is not None:
            advice = "Install the versions of deploy/requirements.txt."
            _log.warning("fast path, connection limits and pipelining are off", reason=reason, advice=advice)
        return cls(settings, stack, is_plain=reason is not None)

    async def admin(self, app: web.Application, sockets: Sequence[socket] | None = None) -> int:
        """Serve the operators' side, and give its port."""
        return await self._listen(web.AppRunner if self.is_plain else Runner, app, self.settings.admin, sockets)

    async def visitors(
        self,
        app: web.Application,
        hits: FastPath,
        connection_limits: ConnectionLimits,
        sockets: Sequence[socket] | None = None,
    ) -> int:
        """Serve the visitors' side, and give its port."""
        runner = partial(FastPathRunner, hits=hits, connection_limits=connection_limits)
        return await self._listen(web.AppRunner if self.is_plain else runner, app, self.settings.server, sockets)

    async def _listen(
        self,
        runner_of: Callable[..., web.AppRunner],
        app: web.Application,
        where: ServerSettings | AdminSettings,
        sockets: Sequence[socket] | None = None,
    ) -> int:
        server = self.settings.server
        runner = runner_of(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=server.shutdown_s,
            max_line_size=server.max_header_bytes,
            max_field_size=server.max_header_bytes,
            auto_decompress=False,  # a body that is passed to Cloudreve stays as it is
            read_bufsize=HELD_BYTES,
        )
        await runner.setup()
        self.stack.push_async_callback(runner.cleanup)
        shared: list[web.BaseSite] = [web.SockSite(runner, socket, backlog=BACKLOG) for socket in sockets or ()]
        for site in shared or [web.TCPSite(runner, where.host, where.port, backlog=BACKLOG)]:
            await site.start()
        return int(runner.addresses[0][1])


def way_out(error: OSError) -> str:
    """Name the settings that say where to listen, when that is what has gone wrong."""
    if error.errno in {errno.EADDRINUSE, errno.EACCES}:
        return "; server.port (--port) and admin.port choose others"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, gaierror):
        return "; server.host (--host) and admin.host have to be addresses of this machine"
    return ""
