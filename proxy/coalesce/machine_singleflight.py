"""One load of one key over the processes of one machine, used where no Redis is configured.

The process that holds the lock loads; the others find what it has left.

A leader holds a lock of the kernel, which ends with its process: one that waits takes over at once, without a clock.
The entry is on disk before the lock is free. Interleaving that this prevents: the leader has stored an entry in
its memory and on the way to the disk, another takes the lock, finds nothing on disk, and loads again. So too is what
only a message tells, which is written where somebody waits. It counts for those who waited when the work ended, and for
nobody who came later, by the clock that all processes of a machine share (CLOCK_MONOTONIC, clock_gettime(2)).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TypeVar

from proxy.background_tasks import BackgroundTasks
from proxy.cache.disk_tier import DiskTier
from proxy.coalesce.messages import decode, encode
from proxy.coalesce.work_locks import WorkLocks
from proxy.coalesce.work_sharing import Loader
from proxy.redis.lease import LeaseHolder

T = TypeVar("T")

POLLS_S = (0.002, 0.05)
"""How long a process that waits for a lock leaves it alone, at first and at most."""
MESSAGE_S = 2.0
"""How long a message stays on disk for those who waited for it."""
WRITE_S = 1.0
"""How long others wait for a slow disk before they do the work too."""

_OPEN = b"open"


@dataclass(slots=True)
class _Lead:
    """The right to do a piece of work, or its end."""

    is_mine: bool
    heard: bytes = b""
    """The message of the leader before."""
    message: bytes | None = None
    """For those who wait now; None where the work has failed."""


class MachineSingleflight:
    """Shares work among the processes that have one disk tier. While that is in trouble each does its own."""

    def __init__(self, locks: WorkLocks, disk: DiskTier, patience_s: float) -> None:
        self._locks = locks
        self._disk = disk
        self._patience_s = patience_s
        self._background_tasks = BackgroundTasks()

    async def share(self, loader: Loader[T], turn: str | None = None) -> T:  # noqa: ARG002 - a lock needs no second one
        """Give what one process loads, which stores it on disk.

        Only the process that has loaded tells: else a message would be handed on for as long as others come, and say
        "just seen" for ever. A leader that dies or fails is succeeded at once. After `patience_s` everybody loads.
        """
        async with self._lead(loader.key) as lead:
            found = await loader.read(decode(lead.heard)) if lead.is_mine else None
            outcome = found if found is not None else await loader.load()
            lead.message = encode(loader.write(outcome).message) if found is None else b""
            return outcome

    def claim(self, _key: str, _turn: str | None = None) -> AbstractContextManager[None]:
        """Claim nothing: a lock costs no way that a look at the disk could share."""
        return nullcontext()

    @asynccontextmanager
    async def lead(self, key: str) -> AsyncIterator[LeaseHolder]:
        """Try to be the one process that does something for long; leaving the block makes room for another."""
        if not self._locks.take(key):
            yield LeaseHolder.OTHERS
            return
        try:
            yield LeaseHolder.MINE
        finally:
            self._locks.let_go(key)

    async def take_turns(self, key: str, work: Callable[[], Awaitable[T]], opens: Callable[[T], bool]) -> T:
        """Do work while no other process does it, until an outcome that `opens` the way for all at once."""
        async with self._lead(key) as lead:
            if lead.heard != _OPEN:
                outcome = await work()
                lead.message = _OPEN if opens(outcome) else None
                return outcome
            lead.message = _OPEN
        return await work()

    async def aclose(self) -> None:
        """Let go of what is held, once it is written."""
        await self._background_tasks.aclose(WRITE_S)
        self._locks.close()

    @asynccontextmanager
    async def _lead(self, key: str) -> AsyncIterator[_Lead]:
        """Wait for the lead, which ends behind the block; give another's where it cannot be had in time."""
        lead = await self._taken(key) if self._disk.is_up else _Lead(is_mine=False)
        try:
            yield lead
        finally:
            if lead.is_mine and lead.message is None:
                self._locks.let_go(key)
            elif lead.is_mine:
                self._background_tasks.start(self._let_go(key, lead.message or b"", time.monotonic_ns()))

    async def _taken(self, key: str) -> _Lead:
        if self._locks.take(key):
            return _Lead(is_mine=True)
        since_ns, (pause_s, longest_s), loop = time.monotonic_ns(), POLLS_S, asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        with self._locks.waiting(key):
            while not self._locks.take(key):
                if loop.time() >= until:
                    return _Lead(is_mine=False)
                await asyncio.sleep(pause_s)
                pause_s = min(1.5 * pause_s, longest_s)
        try:
            return _Lead(is_mine=True, heard=await self._message(key, since_ns))
        except BaseException:
            self._locks.let_go(key)
            raise

    async def _message(self, key: str, since_ns: int) -> bytes:
        """Give the message about work that has ended since a time."""
        ended_ns, _, message = (await self._disk.get_text(_message_key(key)) or "").partition(" ")
        is_for_us = ended_ns.isdecimal() and since_ns < int(ended_ns) <= time.monotonic_ns()
        return message.encode("latin-1", "replace") if is_for_us else b""

    async def _let_go(self, key: str, message: bytes, ended_ns: int) -> None:
        """Free the lock when all that was kept is on disk, and a message where somebody waits for one."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(WRITE_S):
                    if message and self._locks.is_awaited(key):
                        text = f"{ended_ns} {message.decode('latin-1')}"
                        self._disk.set_text_nowait(_message_key(key), text, MESSAGE_S)
                    await self._disk.written()
        finally:
            self._locks.let_go(key)


def _message_key(key: str) -> str:
    return f"message:{key}"
