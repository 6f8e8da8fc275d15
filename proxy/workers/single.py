"""One process that serves by itself, until another configuration is wished for: then a worker of its own takes over."""

from __future__ import annotations

import asyncio
from signal import Signals
from typing import Any

import structlog

from proxy.settings import Settings
from proxy.wiring.process import running
from proxy.wiring.stop_signals import stopped_by
from proxy.workers.reload import Reload
from proxy.workers.supervisor import Supervisor, supervised

_log = structlog.get_logger("proxy.wiring.process")


async def serve(settings: Settings, reload: Reload) -> None:
    """Run until SIGTERM or SIGINT; then take no more, finish what is under way, and leave."""
    # Ctrl-C ends at once: nobody at a terminal wants to wait.
    stopped = stopped_by({Signals.SIGTERM: settings.server.drain_s, Signals.SIGINT: 0.0})
    async with supervised(settings, reload) as (supervisor, visitors, operators):
        ours = [each.dup() for each in visitors.sockets_of(1)]  # a server closes what it listens on
        theirs, routes = operators.sockets(), [reload.route()]
        async with running(settings, sockets=ours, admin_sockets=theirs, operators=routes) as gateway:
            _log.info("serving", host=settings.server.host, port=gateway.port, admin_port=gateway.admin_port)
            is_replaced = await _replaced(supervisor, stopped, reload)
            _log.info("draining")
            await gateway.drain(settings.server.drain_s if is_replaced else await stopped)
        if is_replaced:
            await supervisor.run(stopped)


async def _replaced(supervisor: Supervisor, stopped: asyncio.Future[float], reload: Reload) -> bool:
    """Wait until workers serve another configuration, or until it is time to leave."""
    while True:
        wanted = asyncio.ensure_future(reload.wanted())
        both: set[asyncio.Future[Any]] = {stopped, wanted}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            wanted.cancel()
            return False
        if await supervisor.exchange(wanted.result(), stopped):
            return True
