"""One load of one key over all replicas: the holder of a lease loads, the others get its result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import TypeVar

from proxy.coalesce.messages import Message, Stored, decode, encode
from proxy.coalesce.work_sharing import Loader
from proxy.domain.value_seal import ValueSeal
from proxy.redis.lease import Claim, Lease, LeaseHolder
from proxy.redis.leases import NOT_STORED, STORED, Leases
from proxy.redis.pubsub import PubSubChannel

T = TypeVar("T")

GRACE_S = 0.02
"""How long a message may still be on its way when its lease has gone already."""

PATIENCE_S = 15.0
"""How long others are waited for altogether: any client of Redis can renew a lease for ever."""

_OPEN = STORED + b"open"


class DistributedSingleflight:
    """Shares work among the replicas of one Redis. While that is in trouble each does its own."""

    def __init__(
        self,
        leases: Leases,
        pubsub: PubSubChannel,
        name_of: Callable[[str], str],
        seal: ValueSeal,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._leases = leases
        self._pubsub = pubsub
        self._name_of = name_of
        self._seal = seal
        self._patience_s = patience_s

    async def share(self, loader: Loader[T], turn: str | None = None) -> T:
        """Give what one replica loads.

        Nobody here waits for the outcome to be stored, which it is before anybody hears of it. A leader that dies is
        succeeded when its lease runs out; one that fails, at once. After `patience_s` everybody loads, whatever others
        say. `turn` names the turn that the load is going to take, so that it costs no way to Redis of its own.
        """
        name, until = self._name_of(loader.key), self._gives_up_at()
        while _now() < until:
            with self._pubsub.reader(name) as message:
                async with self._attempt(name, turn) as lease:
                    if lease.held is LeaseHolder.MINE:
                        return await self._lead(name, lease, loader)
                if lease.held is LeaseHolder.UNKNOWN:
                    break
                heard = await self._next(name, message, until)
            told = self._read(name, heard)
            outcome = await loader.read(told) if told is not None else None
            if outcome is not None:
                return outcome
            if heard.startswith(NOT_STORED) and told is not None:
                break
        outcome = await loader.load()
        commit = loader.write(outcome).commit
        if commit is not None:
            self._leases.commit(name, commit)
        return outcome

    def claim(self, key: str, turn: str | None = None) -> AbstractContextManager[Claim]:
        """Read the value under the key inside the block, and where Redis holds none lead in loading it.

        `share` in the block takes the lead over, and `turn` with it; otherwise both are given back.
        """
        return self._leases.claim(self._name_of(key), None if turn is None else self._name_of(turn))

    @asynccontextmanager
    async def lead(self, key: str) -> AsyncIterator[LeaseHolder]:
        """Try to be the one replica that does something for long; leaving the block makes room for another."""
        async with self._leases.attempt(self._name_of(key)) as lease:
            yield lease.held

    async def take_turns(self, key: str, work: Callable[[], Awaitable[T]], opens: Callable[[T], bool]) -> T:
        """Do work while no other replica does it, until an outcome that `opens` the way for all at once."""
        name, until = self._name_of(key), self._gives_up_at()
        while _now() < until:
            with self._pubsub.reader(name) as message:
                async with self._leases.attempt(name) as lease:
                    if lease.held is LeaseHolder.MINE:
                        outcome = await work()
                        lease.message = b"open" if opens(outcome) else None
                        return outcome
                if lease.held is LeaseHolder.UNKNOWN or await self._next(name, message, until) == _OPEN:
                    break
        return await work()

    async def _lead(self, name: str, lease: Lease, loader: Loader[T]) -> T:
        """Do the work, unless it was done between our looking for it and our taking the lease."""
        found = await loader.read(Stored(lease.found)) if lease.found else None
        outcome = found if found is not None else await loader.load()
        message, commit = loader.write(outcome)
        lease.message = self._seal.seal(_message_name(name), encode(message))
        lease.commit = commit if found is None else None
        return outcome

    def _read(self, name: str, heard: bytes) -> Message | None:
        """Read a message; None for none, and for one that no replica of ours has written."""
        opened = self._seal.open(_message_name(name), heard[1:]) if heard else None
        return decode(opened) if opened is not None else None

    def _gives_up_at(self) -> float:
        return _now() + self._patience_s

    @asynccontextmanager
    async def _attempt(self, name: str, turn: str | None) -> AsyncIterator[Lease]:
        """Try to lead; with the lead goes the turn, as far as it is free."""
        if turn is not None:
            self._leases.prefetch(self._name_of(turn))
        try:
            async with self._leases.attempt(name) as lease:
                yield lease
        finally:
            if turn is not None:
                self._leases.discard(self._name_of(turn))

    async def _next(self, name: str, message: asyncio.Future[bytes], until: float) -> bytes:
        """Wait until the leader has told how it ended; give nothing when it failed, or has gone without a word.

        So too when `until` has come.
        """
        wait_s = min(self._pubsub.poll_s, max(until - _now(), 0.0))
        while True:
            await asyncio.wait({message}, timeout=wait_s)
            if message.done():
                return message.result()
            remaining_s = min(await self._leases.remaining_s(name), until - _now())
            if remaining_s <= 0:
                await asyncio.wait({message}, timeout=GRACE_S)
                return message.result() if message.done() else b""
            wait_s = min(self._pubsub.poll_s, remaining_s)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _message_name(name: str) -> str:
    """Name a message about an entry: it opens as nothing else."""
    return f"{name} message"
