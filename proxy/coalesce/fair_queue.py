"""Concurrency towards upstream, shared fairly: a client with ten thousand jobs takes turns with one that has one."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from proxy.coalesce.slots import Slots, Work
from proxy.domain.client import BACKGROUND, Client
from proxy.domain.errors import Busy


@dataclass(slots=True, eq=False)
class _Turn:
    """A turn to come: the slot that it brings."""

    group: str
    slot: asyncio.Future[Work]


@dataclass(slots=True)
class _Job:
    """A job, its group, the clients that want it, and its turns that have not come yet."""

    group: str = ""
    admissions: int = 0
    clients: dict[Client, None] = field(default_factory=dict)
    turns: set[_Turn] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class _Admission:
    """One place: of a client, for a job, taken by a task."""

    client: Client
    job: _Job
    task: asyncio.Task[Any] | None
    is_evicted: bool = False


class FairQueue:
    """At most `slots` at work at once; clients that wait are served round robin, each its oldest job first.

    `BACKGROUND` is served where nobody else waits.

    With `slow`, work that takes longer gives its slot to others (`Slots`); work of one storage is of one group then.
    One client has at most `bound_per_client` places, and one slot in `RESERVED` is never its. When all `places` are
    taken, the client with the most of them loses its youngest to the newcomer, if it has more than that would have.
    Work in a slot is never given up, nor is what several clients want. What several clients want has its turn as soon
    as it would for any of them.
    """

    def __init__(
        self,
        slots: int,
        bound_per_client: int,
        places: int | None = None,
        slow: int = 0,
        waited: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._slots = Slots(slots, slow, self._serve)
        self._bound_per_client = bound_per_client
        self._places = places
        self._taken = 0
        self._working: set[asyncio.Task[Any] | None] = set()
        self._admitted: dict[Client, dict[_Admission, None]] = {}
        self._jobs: dict[str, _Job] = {}
        self._queues: OrderedDict[Client, deque[_Turn]] = OrderedDict()
        self._waited = waited
        """Takes the seconds that work has waited for its slot."""

    @property
    def waiting(self) -> int:
        """How much work waits for a slot."""
        return sum(len(job.turns) for job in self._jobs.values())

    @contextmanager
    def admitted(self, client: Client, name: str, group: str = "") -> Iterator[None]:
        """Take a place for some work of the current task, or raise Busy; also when it is lost to another client."""
        admission = self._admit(client, name, group)
        self.hurry(client, name)
        try:
            yield
        except asyncio.CancelledError:
            if admission.is_evicted and admission.task is not None and not admission.task.uncancel():
                raise Busy("Others have their turn before so many requests of one client.") from None
            raise
        finally:
            admission.job.admissions -= 1
            if not admission.job.admissions:
                del self._jobs[name]
            if not admission.is_evicted:
                self._leave_place(admission)

    def hurry(self, client: Client, name: str) -> None:
        """Let work that another was admitted for count as this client's too."""
        job = self._jobs.get(name)
        if job is not None and client not in job.clients:
            job.clients[client] = None
            for turn in job.turns:
                self._queues.setdefault(client, deque()).append(turn)
            self._serve()

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator[None]:
        """Wait for the turn of work that has been admitted, and do it."""
        job, task = self._jobs[name], asyncio.current_task()
        client = next((each for each in job.clients if self._slots.may_begin(each, job.group)), None)
        queued = time.perf_counter()
        work = self._slots.begin(client, job.group) if client is not None else await self._turn(job)
        self._waited(time.perf_counter() - queued)
        self._working.add(task)
        try:
            yield
        finally:
            self._working.discard(task)
            self._slots.end(work)

    @asynccontextmanager
    async def turn(self, client: Client, name: str) -> AsyncIterator[None]:
        """Take a place, wait for a slot, and do the work; or raise Busy."""
        with self.admitted(client, name):
            async with self.slot(name):
                yield

    def _admit(self, client: Client, name: str, group: str) -> _Admission:
        own = self._admitted.get(client, {})
        if len(own) >= self._bound_per_client:
            raise Busy("You are waiting for too many thumbnails already.")
        if self._places is not None and self._taken >= self._places:
            self._evict_for(len(own) + 1)
        admission = _Admission(client, self._jobs.setdefault(name, _Job(group)), asyncio.current_task())
        admission.job.admissions += 1
        self._admitted.setdefault(client, {})[admission] = None
        self._taken += 1
        return admission

    def _evict_for(self, places: int) -> None:
        """Free a place of the client with the most, if it has more than `places`; else raise Busy."""
        for admissions in sorted(self._admitted.values(), key=len, reverse=True):
            if len(admissions) <= places:
                break
            for admission in reversed(admissions):
                if admission.task is not None and self._is_evictable(admission):
                    admission.is_evicted = True
                    self._leave_place(admission)
                    admission.task.cancel()
                    return
        raise Busy("Too many thumbnails are being loaded already.")

    def _is_evictable(self, admission: _Admission) -> bool:
        return admission.task not in self._working and set(admission.job.clients) <= {admission.client}

    def _leave_place(self, admission: _Admission) -> None:
        self._taken -= 1
        admissions = self._admitted[admission.client]
        del admissions[admission]
        if not admissions:
            del self._admitted[admission.client]

    async def _turn(self, job: _Job) -> Work:
        """Wait for a slot."""
        turn = _Turn(job.group, asyncio.get_running_loop().create_future())
        job.turns.add(turn)
        for client in job.clients:
            self._queues.setdefault(client, deque()).append(turn)
        try:
            return await turn.slot
        except asyncio.CancelledError:
            if not turn.slot.cancelled():
                self._slots.end(turn.slot.result())  # it was handed over in the very step of the cancellation
            raise
        finally:
            job.turns.discard(turn)
            for client in job.clients:
                self._leave_queue(client, turn)

    def _leave_queue(self, client: Client, turn: _Turn) -> None:
        queue = self._queues.get(client)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._queues[client]

    def _serve(self) -> None:
        """Hand free slots to the clients whose turn it is, each of which then queues up behind all others."""
        for client in sorted(self._queues, key=BACKGROUND.__eq__) if self._slots.are_free else ():
            turn = self._next_of(client)
            if turn is None:
                continue
            self._queues.move_to_end(client)
            self._leave_queue(client, turn)
            turn.slot.set_result(self._slots.begin(client, turn.group))
            if not self._slots.are_free:
                return

    def _next_of(self, client: Client) -> _Turn | None:
        """Find the oldest turn that may come; one that is done was served for another client, or was cancelled."""
        turns = (turn for turn in self._queues[client] if not turn.slot.done())
        return next((turn for turn in turns if self._slots.may_begin(client, turn.group)), None)
