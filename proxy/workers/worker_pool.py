"""The processes of one configuration, and their keepers."""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from multiprocessing.context import SpawnProcess

import structlog
from msgspec.structs import replace

from proxy.admin.status import Report
from proxy.domain.warming import WarmOrder, WarmReply
from proxy.settings import Settings
from proxy.workers.channel import Channel
from proxy.workers.listen_socket import ListenSocket
from proxy.workers.worker import work

ANSWER_S = 2.0
"""How long a worker may take to say how it is."""
STEADY_S = 60.0
"""A worker that has lived this long is started anew after the shortest pause; one that dies sooner, later each time."""
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
POLL_S = 0.05

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
    async def started(cls, number: int, settings: Settings, sockets: Sequence[socket.socket]) -> Worker:
        """Start a process; it serves in a moment."""
        ours, theirs = socket.socketpair()
        with ExitStack() as given:
            end = given.enter_context(theirs)
            process = _spawn.Process(target=work, args=(number, settings, list(sockets), end), daemon=True)
            process.start()
        ours.setblocking(False)
        return cls(process, await Channel.opened(ours))

    async def report(self, patience_s: float | None = ANSWER_S) -> Report | None:
        """Ask how it is; None when it does not say."""
        with suppress(ConnectionError, TimeoutError):
            return await asyncio.wait_for(self._channel.ask(), patience_s)
        return None

    async def warm(self, order: WarmOrder) -> WarmReply:
        """Have it warm a folder; give what it says."""
        try:
            return await asyncio.wait_for(self._channel.warm(order), ANSWER_S)
        except (ConnectionError, TimeoutError):
            return WarmReply("The worker does not answer.", is_busy=True)

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

    async def warm(self, order: WarmOrder) -> WarmReply:
        """Have one of the workers warm a folder; give what it says."""
        reports = await self.roll()
        states = [report.warming for report in reports.values() if report and report.warming]
        if not all(state.is_over for state in states):
            return WarmReply("Another folder is being warmed.", is_busy=True)
        worker = next((self._workers[number] for number, report in reports.items() if report and report.is_ready), None)
        return await worker.warm(order) if worker else WarmReply("No worker is ready.", is_busy=True)

    async def ready(self) -> None:
        """Wait until all may take traffic."""
        while not all(report and report.is_ready for report in (await self.roll()).values()):  # noqa: ASYNC110 - asked each time
            await asyncio.sleep(POLL_S)

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
        sockets = self._listen_socket.sockets_of(number)
        worker = self._workers[number] = await Worker.started(number, self._settings, sockets)
        try:
            if self._leaving.is_set():
                worker.leave()
            if await worker.report(patience_s=None) is not None:
                self._has_served = True
            return await worker.ended()
        finally:
            worker.kill()
            self._workers[number] = None
            if not self._leaving.is_set():
                self._listen_socket.drop(number)  # nobody is to wait there for the next one
