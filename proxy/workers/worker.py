"""One of several processes that share a port: a gateway, a way to its parent, and a log that says which one it is."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from socket import socket

import structlog
import uvloop

from proxy.observe.log import configure, on_loop_exception
from proxy.settings import Settings
from proxy.wiring.process import running
from proxy.wiring.stop_signals import resolve, stopped_by
from proxy.workers.channel import answer

_log = structlog.get_logger("proxy.workers.worker")


def work(number: int, settings: Settings, sockets: Sequence[socket], end: socket) -> None:
    """Serve until SIGTERM, or until the parent at the channel's other end is gone; the whole of a worker's process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches everybody at a terminal; the parent decides
    writer = configure(settings.log, worker=number)
    try:
        uvloop.run(_serve(settings, sockets, end))
    except Exception:  # noqa: BLE001 - the last resort: told in the log, where it cannot show a secret
        _log.exception("serving ended by an error")
        sys.exit(1)
    finally:
        writer.close()


async def _serve(settings: Settings, sockets: Sequence[socket], end: socket) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(on_loop_exception)
    stopped = stopped_by({signal.SIGTERM: settings.server.drain_s})
    async with running(settings, sockets=sockets) as gateway:
        answering = loop.create_task(answer(end, gateway.reporter.report, gateway.jobs.begin))
        answering.add_done_callback(lambda _: resolve(stopped, settings.server.drain_s))
        _log.info("serving")
        drain_s = await stopped
        _log.info("draining")
        await gateway.drain(drain_s)
    answering.cancel()
    with suppress(asyncio.CancelledError):
        await answering
