"""One load of one key over all replicas: the holder of a lease loads, the others get its result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import TypeAlias, TypeVar

from proxy.coalesce.machine_singleflight import MachineSingleflight
from proxy.domain.value_seal import ValueSeal
from proxy.redis.lease import Lease, LeaseHolder
from proxy.redis.leases import NOT_STORED, STORED, Claim, Leases
from proxy.redis.pubsub import PubSubChannel

T = TypeVar("T")

GRACE_S = 0.02
"""How long a message may still be on its way when its lease has gone already."""

PATIENCE_S = 15.0
"""How long others are waited for altogether: any client of Redis can renew a lease for ever."""

_OPEN = STORED + b"open"


def _nothing(_: object) -> tuple[bytes, float]:
    """Leave nothing but the message."""
    return b"", 0.0


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

    async def share(
        self,
        key: str,
        find: Callable[[bytes], Awaitable[T | None]],
        load: Callable[[], Awaitable[T]],
        tell: Callable[[T], bytes],
        keep: Callable[[T], tuple[bytes, float]] = _nothing,
        turn: str | None = None,
    ) -> T:
        """Give the outcome that one replica loads.

        `find` is given what Redis holds under the key, or the message that `tell` wrote, or nothing: then it looks
        itself. What `keep` gives, bytes and for how many seconds, stands under the key before anybody hears of it, and
        nobody here waits for that. A leader that dies is succeeded when its lease runs out; one that fails, at once.
        After `patience_s` everybody loads, whatever others say. `turn` names the turn that `load` is going to take, so
        that it costs no way to Redis of its own.
        """
        name, until = self._name_of(key), self._gives_up_at()

        def sealed(landed: T) -> tuple[bytes, float]:
            entry, ttl_s = keep(landed)
            return self._seal.seal(name, entry) if entry else entry, ttl_s

        def message_of(landed: T) -> bytes:
            return self._seal.seal(_message_name(name), tell(landed))

        while _now() < until:
            with self._pubsub.reader(name) as message:
                async with self._attempt(name, turn) as lease:
                    if lease.held is LeaseHolder.MINE:
                        lease.found = self._seal.open(name, lease.found) or b""
                        return await _lead(lease, find, load, message_of, sealed)
                if lease.held is LeaseHolder.UNKNOWN:
                    break
                heard = await self._next(name, message, until)
            text = self._seal.open(_message_name(name), heard[1:]) if heard else None
            told = await find(text) if text is not None else None
            if told is not None:
                return told
            if heard.startswith(NOT_STORED) and text is not None:
                break
        landed = await load()
        self._leases.leave(name, *sealed(landed))
        return landed

    @contextmanager
    def claim(self, key: str, turn: str | None = None) -> Iterator[Claim | None]:
        """Read the value under the key inside the block, and where Redis holds none lead in loading it.

        `share` in the block takes the lead over, and `turn` with it; otherwise both are given back.
        """
        with self._leases.claim(self._name_of(key), None if turn is None else self._name_of(turn)) as claim:
            yield claim

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
            left_s = min(await self._leases.left_s(name), until - _now())
            if left_s <= 0:
                await asyncio.wait({message}, timeout=GRACE_S)
                return message.result() if message.done() else b""
            wait_s = min(self._pubsub.poll_s, left_s)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _message_name(name: str) -> str:
    """Name a message about an entry: it opens as nothing else."""
    return f"{name} message"


async def _lead(
    lease: Lease,
    find: Callable[[bytes], Awaitable[T | None]],
    load: Callable[[], Awaitable[T]],
    tell: Callable[[T], bytes],
    keep: Callable[[T], tuple[bytes, float]],
) -> T:
    """Do the work, unless it was done between our looking for it and our taking the lease."""
    found = await find(lease.found) if lease.found else None
    landed = found if found is not None else await load()
    lease.message = tell(landed)
    if found is None:
        lease.entry, lease.ttl_s = keep(landed)
    return landed


class LocalSingleflight:
    """Stands in where there is neither Redis nor a disk tier: this process loads for itself."""

    async def share(
        self,
        _key: str,
        _find: Callable[[bytes], Awaitable[T | None]],
        load: Callable[[], Awaitable[T]],
        _tell: Callable[[T], bytes],
        _keep: Callable[[T], tuple[bytes, float]] = _nothing,
        turn: str | None = None,  # noqa: ARG002 - as in the distributed one
    ) -> T:
        """Load."""
        return await load()

    def claim(self, _key: str, _turn: str | None = None) -> AbstractContextManager[Claim | None]:
        """Claim nothing."""
        return nullcontext()

    @asynccontextmanager
    async def lead(self, _key: str) -> AsyncIterator[LeaseHolder]:
        """Lead."""
        yield LeaseHolder.MINE

    async def take_turns(self, _key: str, work: Callable[[], Awaitable[T]], _opens: Callable[[T], bool]) -> T:
        """Work."""
        return await work()


MaybeDistributed: TypeAlias = DistributedSingleflight | MachineSingleflight | LocalSingleflight
"""Whether there is a Redis or a disk tier is the configuration's affair, not that of the steps that load."""
