"""Several processes on one port; their parent keeps them alive, speaks for all, and exchanges their configuration."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from types import TracebackType
from typing import Any, NamedTuple, Self

import structlog
from aiohttp import web

from proxy.admin.status import Report
from proxy.domain.warming import WarmOrder, WarmReply
from proxy.http.orders import Orders
from proxy.http.server import Runner
from proxy.settings import ServerSettings, Settings
from proxy.wiring.stop_signals import stopped_by
from proxy.workers.admin_port import AdminPort
from proxy.workers.change_logs import ChangeLogs
from proxy.workers.common_state import CommonState
from proxy.workers.listen_socket import ListenSocket
from proxy.workers.reload import Reload
from proxy.workers.worker_pool import WorkerPool

GRACE_S = 5.0
"""How much longer than it should need a worker may take to leave."""
READY_S = 60.0
"""How long the workers of another configuration may take until all are ready."""

_log = structlog.get_logger("proxy.workers.supervisor")


class Supervisor:
    """Keeps the workers of the newest configuration that serves, and lets those of earlier ones finish."""

    def __init__(self, visitors: ListenSocket, operators: ListenSocket, reload: Reload) -> None:
        self._visitors = visitors
        self._operators = operators
        self._reload = reload
        self._common = CommonState()
        self._logs = ChangeLogs()
        self._stack = AsyncExitStack()
        self._pool: WorkerPool | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._settings: Settings | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._stack.callback(self._common.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*self._leaving)
        await self._stack.aclose()

    async def begin(self, settings: Settings) -> int:
        """Start the first workers, and give the admin port."""
        self._take(*self._started(settings), settings)
        return await self._listen()

    async def run(self, stopped: asyncio.Future[float]) -> None:
        """Keep workers until it is time to leave; then let them finish what is under way."""
        while self._keeping is not None and not self._keeping.done() and not stopped.done():
            wanted = asyncio.ensure_future(self._reload.wanted())
            all_three: set[asyncio.Future[Any]] = {self._keeping, stopped, wanted}
            await asyncio.wait(all_three, return_when=asyncio.FIRST_COMPLETED)
            if wanted.done() and not stopped.done() and await self._have_left(stopped):
                await self.exchange(self._reload.take(), stopped)
            wanted.cancel()
        if self._pool is not None and self._keeping is not None:
            if not self._keeping.done():
                _log.info("draining")
                self._visitors.close()  # the workers have it open for as long as they take visitors
                await _finished(self._pool, self._keeping, self._newest().server)
            await self._keeping

    async def exchange(self, settings: Settings, stopped: asyncio.Future[float]) -> bool:
        """Let workers of another configuration take over the port once all are ready; say whether they have."""
        pool, keeping = self._started(settings)
        ready = asyncio.create_task(pool.ready())
        any_of: set[asyncio.Future[Any]] = {ready, keeping, stopped}
        await asyncio.wait(any_of, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            pool.leave()
            pool.kill()
            ended, _ = await asyncio.gather(keeping, ready, return_exceptions=True)
            reason = type(ended).__name__ if isinstance(ended, BaseException) else "not ready in time"
            _log.error("reload failed: the configuration of before serves on", reason=reason)
            return False
        if self._pool is not None and self._keeping is not None:
            self._let_go(self._pool, self._keeping)
        else:
            await self._listen()
        self._take(pool, keeping, settings)
        _log.info("reloaded", workers=settings.server.workers)
        return True

    def _started(self, settings: Settings) -> tuple[WorkerPool, asyncio.Task[None]]:
        settings = self._common.added_to(settings)
        pool = WorkerPool(settings, self._visitors)
        return pool, asyncio.create_task(self._kept(pool, settings))

    async def _kept(self, pool: WorkerPool, settings: Settings) -> None:
        """Keep workers, and tell them of purges from the first to the last of them."""
        async with self._logs.read(settings):
            await pool.keep()

    def _take(self, pool: WorkerPool, keeping: asyncio.Task[None], settings: Settings) -> None:
        self._pool, self._keeping, self._settings = pool, keeping, settings

    def _let_go(self, pool: WorkerPool, keeping: asyncio.Task[None]) -> None:
        task = asyncio.create_task(_finished(pool, keeping, self._newest().server))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _have_left(self, stopped: asyncio.Future[float]) -> bool:
        """Wait until workers of earlier configurations, which hold memory, have left; False when all are to leave."""
        while self._leaving and not stopped.done():
            _log.info("reload waits until the workers of the configuration before have finished")
            either: set[asyncio.Future[Any]] = {stopped, *self._leaving}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return not stopped.done()

    def _newest(self) -> Settings:
        return self._settings if self._settings is not None else self._reload.settings

    async def _roll(self) -> Mapping[int, Report | None]:
        return await self._pool.roll() if self._pool is not None else {}

    async def _warm(self, order: WarmOrder) -> WarmReply:
        return (
            await self._pool.warm(order) if self._pool is not None else WarmReply("No worker is ready.", is_busy=True)
        )

    async def _listen(self) -> int:
        orders = Orders(self._newest().admin, self._logs.purge, self._warm)
        more = [self._reload.route(), *orders.routes()]
        application = AdminPort(self._roll, self._newest, more).application()
        runner = Runner(application, access_log=None, handler_cancellation=True)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        for each in self._operators.sockets():
            await web.SockSite(runner, each).start()
        return int(runner.addresses[0][1])


class Supervised(NamedTuple):
    """A supervisor, and the sockets that its workers listen on."""

    supervisor: Supervisor
    visitors: ListenSocket
    operators: ListenSocket


@asynccontextmanager
async def supervised(settings: Settings, reload: Reload) -> AsyncIterator[Supervised]:
    """Open the sockets, listen for another configuration, and give the supervisor; close all at the end."""
    reload.listen()
    with (
        closing(ListenSocket(settings.server.host, settings.server.port)) as visitors,
        closing(ListenSocket(settings.admin.host, settings.admin.port)) as operators,
    ):
        async with Supervisor(visitors, operators, reload) as supervisor:
            yield Supervised(supervisor, visitors, operators)


async def serve(settings: Settings, reload: Reload) -> None:
    """Run the workers until SIGTERM or SIGINT; then let them finish what is under way, and leave."""
    stopped = stopped_by({signal.SIGTERM: 0.0, signal.SIGINT: 0.0})
    async with supervised(settings, reload) as (supervisor, visitors, _):
        admin_port = await supervisor.begin(settings)
        _log.info("serving", workers=settings.server.workers, port=visitors.port, admin_port=admin_port)
        await supervisor.run(stopped)


async def _finished(pool: WorkerPool, keeping: asyncio.Task[None], server: ServerSettings) -> None:
    """Let workers finish what is under way, and end those that take too long."""
    pool.leave()
    await asyncio.wait({keeping}, timeout=_longest_s(server))
    pool.kill()
    await asyncio.gather(keeping, return_exceptions=True)


def _longest_s(server: ServerSettings) -> float:
    """Tell how long leaving may take: requests may take `shutdown_s`, and so may what they leave behind upstream."""
    return server.drain_s + 2 * server.shutdown_s + GRACE_S
