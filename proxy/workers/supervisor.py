"""Several processes on one port, and a parent that keeps them alive and speaks for all of them."""

from __future__ import annotations

import asyncio
import multiprocessing
import secrets
import signal
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack, closing, suppress
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
from aiohttp import web
from msgspec.structs import replace
from pydantic import SecretStr

from proxy.admin.status import Report
from proxy.http.server import Runner
from proxy.settings import ServerSettings, Settings, TemporaryDisk, TemporarySeal
from proxy.wiring.disk import with_sign_outs_kept
from proxy.wiring.stop_signals import stopped_by
from proxy.workers.admin_port import AdminPort
from proxy.workers.channel import Channel
from proxy.workers.listen_socket import ListenSocket
from proxy.workers.worker import work

ANSWER_S = 2.0
"""How long a worker may take to say how it is."""
STEADY_S = 60.0
"""A worker that has lived this long is started anew after the shortest pause; one that dies sooner, later each time."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
TEMPORARY_BYTES = 64 * 1024 * 1024
"""How large the disk tier of workers becomes that have none of their own."""
GRACE_S = 5.0
"""How much longer than it should need a worker may take to leave."""

_spawn = multiprocessing.get_context("spawn")
_log = structlog.get_logger("proxy.workers.supervisor")


class WorkersFailed(Exception):
    """A worker ended before any had served: what is wrong there would be wrong again."""


class Worker:
    """One process, as its parent knows it."""

    def __init__(self, process: SpawnProcess, channel: Channel) -> None:
        self._process = process
        self._channel = channel
        self._reading = asyncio.get_running_loop().create_task(channel.read())

    @classmethod
    async def started(cls, number: int, settings: Settings, listen_socket: ListenSocket) -> Worker:
        """Start a process; it serves in a moment."""
        ours, theirs = socket.socketpair()
        with ExitStack() as given:
            end = given.enter_context(theirs)
            sockets = [given.enter_context(opened) for opened in listen_socket.sockets()]
            process = _spawn.Process(target=work, args=(number, settings, sockets, end), daemon=True)
            process.start()
        ours.setblocking(False)
        return cls(process, await Channel.opened(ours))

    async def report(self, patience_s: float | None = ANSWER_S) -> Report | None:
        """Ask how it is; None when it does not say."""
        with suppress(ConnectionError, TimeoutError):
            return await asyncio.wait_for(self._channel.ask(), patience_s)
        return None

    def leave(self) -> None:
        """Ask it to finish what is under way and go."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    async def ended(self) -> int | None:
        """Wait for its end; give its exit code, negative for a signal."""
        await asyncio.shield(self._reading)
        await asyncio.to_thread(self._process.join)
        return self._process.exitcode


class WorkerPool:
    """All workers: each has a keeper, who starts it anew when it ends."""

    def __init__(self, settings: Settings, listen_socket: ListenSocket) -> None:
        self._settings = settings
        self._listen_socket = listen_socket
        self._workers: dict[int, Worker | None] = dict.fromkeys(range(1, settings.server.workers + 1))
        self._has_served = False
        self._leaving = asyncio.Event()

    async def keep(self) -> None:
        """Keep all workers alive until they are asked to leave."""
        async with asyncio.TaskGroup() as keepers:
            for number in self._workers:
                keepers.create_task(self._keep(number))

    async def roll(self) -> Mapping[int, Report | None]:
        """Ask every worker how it is."""
        reports = await asyncio.gather(*(self._report(worker) for worker in self._workers.values()))
        return dict(zip(self._workers, reports, strict=True))

    def leave(self) -> None:
        """Let all finish what is under way and go; `keep` ends with the last of them."""
        self._leaving.set()
        for worker in filter(None, self._workers.values()):
            worker.leave()

    def kill(self) -> None:
        """End those that are still there."""
        for worker in filter(None, self._workers.values()):
            worker.kill()

    async def _report(self, worker: Worker | None) -> Report | None:
        report = await worker.report() if worker else None
        return replace(report, is_ready=False) if report and self._leaving.is_set() else report

    async def _keep(self, number: int) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._leaving.is_set():
            started = asyncio.get_running_loop().time()
            code = await self._run(number)
            if self._leaving.is_set():
                return
            if not self._has_served:
                raise WorkersFailed
            if asyncio.get_running_loop().time() - started >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            _log.warning("worker ended", worker=number, exit_code=code, restart_s=pause_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _run(self, number: int) -> int | None:
        worker = self._workers[number] = await Worker.started(number, self._settings, self._listen_socket)
        try:
            if self._leaving.is_set():
                worker.leave()
            if await worker.report(patience_s=None) is not None:
                self._has_served = True
            return await worker.ended()
        finally:
            worker.kill()
            self._workers[number] = None


async def serve(settings: Settings) -> None:
    """Run the workers until SIGTERM or SIGINT; then let them finish what is under way, and leave."""
    stopped = stopped_by({signal.SIGTERM: 0.0, signal.SIGINT: 0.0})
    async with AsyncExitStack() as stack:
        listen_socket = stack.enter_context(closing(ListenSocket(settings.server.host, settings.server.port)))
        workers = WorkerPool(_with_one_seal(_with_one_state(settings, stack)), listen_socket)
        admin_port = await _listen(AdminPort(workers.roll, settings), settings, stack)
        _log.info("serving", workers=settings.server.workers, port=listen_socket.port, admin_port=admin_port)
        keeping = asyncio.create_task(workers.keep())
        both: set[asyncio.Future[Any]] = {keeping, stopped}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not keeping.done():
            _log.info("draining")
            workers.leave()
            listen_socket.close()  # the workers have it open for as long as they take visitors
            await asyncio.wait({keeping}, timeout=_longest_s(settings.server))
            workers.kill()
        await keeping


def _longest_s(server: ServerSettings) -> float:
    """Tell how long leaving may take: requests may take `shutdown_s`, and so may what they leave behind upstream."""
    return server.drain_s + 2 * server.shutdown_s + GRACE_S


def _with_one_state(settings: Settings, stack: AsyncExitStack) -> Settings:
    """Give all workers one disk tier and one file for sign-outs when they have no Redis: for as long as they live."""
    settings = with_sign_outs_kept(settings)
    if settings.redis.url is not None or (settings.session.state_path is not None and settings.disk.path is not None):
        return settings
    folder, disk, session = (
        Path(stack.enter_context(TemporaryDirectory(prefix="thumb-proxy-"))),
        settings.disk,
        settings.session,
    )
    if disk.path is None:
        disk = TemporaryDisk(path=folder / "cache", max_bytes=TEMPORARY_BYTES)
    if session.state_path is None:
        if settings.seal.keys:
            _log.warning(
                "no redis.url, session.state_path or disk.path: a restart forgets sign-outs that its cookies outlive"
            )
        session = session.model_copy(update={"state_path": folder / "sign-outs"})
    return settings.model_copy(update={"disk": disk, "session": session})


def _with_one_seal(settings: Settings) -> Settings:
    """Give all workers the same key when none is configured: each serves what any of them has given out."""
    if settings.seal.keys:
        return settings
    _log.warning("no seal.keys: sealed URLs and cookies open in these workers only, and not after a restart")
    return settings.model_copy(update={"seal": TemporarySeal(keys=(SecretStr(secrets.token_urlsafe(32)),))})


async def _listen(overview: AdminPort, settings: Settings, stack: AsyncExitStack) -> int:
    runner = Runner(overview.application(), access_log=None, handler_cancellation=True)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, settings.admin.host, settings.admin.port).start()
    return int(runner.addresses[0][1])
