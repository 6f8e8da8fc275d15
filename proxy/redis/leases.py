"""Leases in Redis: which of all replicas does a piece of work.

A lease is a key of its own beside the entry that the work is about. It holds the random token of its holder and ends by
itself `LEASE_S` after it was taken or renewed, so that a holder that dies is succeeded. A holder that stood still for
longer may have a successor: whatever ends or renews a lease compares the token first, in the same step (a script), and
does nothing where another's is found. The value that the work has produced is written in that step as well, by the
callback `Lease.commit`: so a late holder's value never replaces its successor's.

A cold miss waits for Redis twice: to read the grant and to lead in resolving it (`Claim`), and to read the picture and
to lead in fetching it (`attempt`). Ending a lease waits for nothing. Calls of one tick go as one call
(`lease_scripts`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from math import inf

from proxy.domain.shared_write import Commit, SharedWrite
from proxy.redis.connect import RedisConnections
from proxy.redis.lease import Claim, Lease, LeaseHolder
from proxy.redis.lease_scripts import LET_GO, LOOK, RENEW, TAKE
from proxy.redis.prefetched_leases import PrefetchedLeases
from proxy.redis.pubsub import PubSubChannel
from proxy.redis.renewal import Renewal

LEASE_S = 2.5
"""How long the others wait for a replica that has died."""
RENEW_S = LEASE_S / 3
LOOK_AGAIN_S = 5.0
"""How long entries are read without a claim after a claim has failed: this user of Redis may have no right to lead."""
STORED = b"+"
"""Before a leader's message: its outcome is in Redis for whoever wants more than the message."""
NOT_STORED = b"-"
"""It is not: Redis would not take it."""

_LEASE_MS = int(LEASE_S * 1000)


_LEASE, _WITH_TURN = 1, 2
"""The replies of the scripts where they have taken something."""
_HELD = {_LEASE: LeaseHolder.MINE, 0: LeaseHolder.OTHERS}


class Leases:
    """Leases of one site."""

    def __init__(self, connections: RedisConnections, pubsub: PubSubChannel, namespace: str) -> None:
        self._connections = connections
        self._pubsub = pubsub
        self._namespace = namespace
        self._prefetched = PrefetchedLeases(RENEW_S, self._give_back)
        self._attempted: set[str] = set()
        self._claims: Counter[str] = Counter()
        self._look_again_at = -inf

    @asynccontextmanager
    async def attempt(self, key: str) -> AsyncIterator[Lease]:
        """Try to take a lease. One that is ours is renewed inside the block; after it, it is let go and all are told.

        Leaving the block waits for nothing, so that the work done inside does not.
        """
        self._attempted.add(key)
        try:
            token, lease = await self._taken(key)
            if lease.held is not LeaseHolder.MINE:
                yield lease
                return
            renewal = Renewal(RENEW_S, partial(self._renew, key, token))
            try:
                yield lease
            finally:
                renewal.cancel()
                self._let_go(key, token, lease)
        finally:
            self._attempted.discard(key)

    @contextmanager
    def claim(self, key: str, turn: str | None) -> Iterator[Claim]:
        """Read an entry inside the block and, where there is none, lead in the same step, and have the turn as well.

        An attempt inside the block then costs no round trip; without one the lease and the turn are given back.
        """
        claim = Claim(partial(self._claimed, key, turn))
        try:
            yield claim
        finally:
            if claim.is_made:
                self._end_claim(key, turn)

    def prefetch(self, key: str) -> None:
        """Try to take a lease that will be attempted in a moment, in one go with what else is asked in this tick."""
        if key not in self._prefetched:
            token = secrets.token_hex(16)
            self._prefetched.expect(key, token, asyncio.get_running_loop().create_task(self._take(key, token)))

    def discard(self, key: str) -> None:
        """Give back a lease that was prefetched and not used."""
        self._prefetched.discard(key)

    def commit(self, key: str, commit: Commit) -> None:
        """Store a value without a lease, where none stands: one that does may be newer."""
        value, ttl_ms = commit()
        if ttl_ms > 0:
            self._connections.send(key, "SET", key, value, "PX", ttl_ms, "NX")

    async def remaining_s(self, key: str) -> float:
        """Tell for how long somebody holds the lease at least; 0 when nobody does, or while Redis is in trouble."""
        name = self._name(key)
        remaining_ms = await self._connections.ask(0, name, "PTTL", name)
        return max(remaining_ms, 0) / 1000

    async def _claimed(self, key: str, turn: str | None) -> bytes | None:
        """Look, or wait for the look that is under way here; while this process leads already, it reads alone.

        Otherwise a claim might take the lease from under an attempt that is on its way to it, and wait for it in turn.
        """
        self._claims[key] += 1
        lease = self._prefetched.get(key)
        if lease is None and (key in self._attempted or _now() < self._look_again_at):
            return await self._connections.read(key)
        if lease is None:
            token = secrets.token_hex(16)
            lease = asyncio.get_running_loop().create_task(self._look(key, turn, token))
            self._prefetched.expect(key, token, lease)
        return (await asyncio.shield(lease)).found or None

    def _end_claim(self, key: str, turn: str | None) -> None:
        self._claims[key] -= 1
        if not self._claims[key]:
            del self._claims[key]
            self.discard(key)
            if turn is not None:
                self.discard(turn)

    async def _look(self, key: str, turn: str | None, token: str) -> Lease:
        """Read an entry, or take the lease and the turn."""
        name = self._name(key)
        also = self._name(turn) if turn is not None and self._connections.is_one_server else name

        def let_go(reply: bytes | int | None) -> None:
            """Give back a lease that was taken too late."""
            for taken in (key, turn or "")[: reply if isinstance(reply, int) else 0]:
                self._give_back(taken, token)

        reply: bytes | int | None
        reply = await self._connections.ask(None, name, LOOK, key, name, also, token, _LEASE_MS, unheard=let_go)
        if turn is not None and reply == _WITH_TURN:
            self._have_turn(key, turn, token)
        if reply is None:
            self._look_again_at = _now() + LOOK_AGAIN_S
            reply = await self._connections.read(key)
        lease = (
            Lease(LeaseHolder.MINE)
            if reply in (_LEASE, _WITH_TURN)
            else Lease(LeaseHolder.OTHERS, reply if isinstance(reply, bytes) else b"")
        )
        if lease.held is LeaseHolder.OTHERS:
            self._prefetched.forget(key, token)
        return lease

    def _have_turn(self, key: str, turn: str, token: str) -> None:
        """Keep a turn for those who have claimed it, if they are still here."""
        if self._claims[key] and turn not in self._prefetched:
            self._prefetched.expect(turn, token, _done(Lease(LeaseHolder.MINE)))
        else:
            self._give_back(turn, token)

    async def _taken(self, key: str) -> tuple[str, Lease]:
        """Take a lease, if it has not been taken already: one that was another holder's may be free by now."""
        taken = await self._prefetched.taken(key)
        if taken is not None:
            return taken
        token = secrets.token_hex(16)
        return token, await self._take(key, token)

    async def _take(self, key: str, token: str) -> Lease:
        name = self._name(key)

        def let_go(reply: tuple[int, bytes] | None) -> None:
            """Give back a lease that was taken for a caller who has left."""
            if reply is not None and reply[0] == _LEASE:
                self._give_back(key, token)

        reply: tuple[int, bytes] | None
        reply = await self._connections.ask(None, name, TAKE, name, key, token, _LEASE_MS, unheard=let_go)
        return Lease(LeaseHolder.UNKNOWN) if reply is None else Lease(_HELD[reply[0]], reply[1])

    async def _renew(self, key: str, token: str) -> bool:
        """Renew a lease; tell whether it is still ours, as far as can be told."""
        name = self._name(key)
        return bool(await self._connections.ask(1, name, "EVAL", RENEW, 1, name, token, _LEASE_MS))

    def _give_back(self, key: str, token: str) -> None:
        """Let go of a lease under which nothing was done."""
        self._let_go(key, token, Lease(LeaseHolder.MINE))

    def _let_go(self, key: str, token: str, lease: Lease) -> None:
        """Have the outcome stored and told; where `commit` fails, let go as after work that has failed."""
        name, message, written = self._name(key), None, SharedWrite()
        try:
            written = lease.commit() if lease.commit is not None else written
            message = lease.message
        finally:
            status = b"" if message is None else STORED
            told = self._pubsub.channel, status, message or b""
            self._connections.send(name, LET_GO, name, key, token, *told, *written)

    def _name(self, key: str) -> str:
        """Name the lease beside an entry: by the part in braces a cluster keeps both on one server."""
        return f"{self._namespace}:lease:{{{key}}}"


def _now() -> float:
    return asyncio.get_running_loop().time()


def _done(lease: Lease) -> asyncio.Future[Lease]:
    """Give the lease that has been prefetched already."""
    future: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
    future.set_result(lease)
    return future
