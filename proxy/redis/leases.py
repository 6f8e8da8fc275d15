"""Leases in Redis: which of all replicas does a piece of work."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from proxy.redis.connect import Lines
from proxy.redis.pubsub import PubSubChannel

LEASE_S = 2.5
"""How long the others wait for a replica that has died."""
RENEW_S = LEASE_S / 3
KEPT = b"+"
"""Before a leader's message: its outcome is in Redis for whoever wants more than the message."""
TOLD = b"-"
"""It is not: Redis would not take it."""

_LEASE_MS = int(LEASE_S * 1000)
_TAKE = """
local holder, left = redis.call('get', KEYS[1]), redis.call('pttl', KEYS[1])
if not holder or left < 0 or left > tonumber(ARGV[2]) then
  redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
  local entry = redis.pcall('get', KEYS[2])
  return {1, type(entry) == 'string' and entry or ''}
end
if string.sub(holder, -1) ~= '!' then redis.call('append', KEYS[1], '!') end
return {0, ''}
"""
"""Gives what stands under the key together with the lease; a mark on the lease says that somebody waits for news.

A lease without an end, or with a later one than ours ever have, is none of ours: it would be waited for in vain."""
_RENEW = """
local holder = redis.call('get', KEYS[1])
if holder ~= ARGV[1] and holder ~= ARGV[1] .. '!' then return 0 end
return redis.call('pexpire', KEYS[1], ARGV[2])
"""
_LET_GO = """
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[1] and holder ~= ARGV[1] .. '!' then return 0 end
local status = ARGV[4]
if tonumber(ARGV[7]) > 0 and redis.pcall('set', KEYS[2], ARGV[6], 'px', ARGV[7]).err then status = '-' end
redis.call('del', KEYS[1])
if holder ~= ARGV[1] then redis.pcall('publish', ARGV[2], ARGV[3] .. ' ' .. status .. ARGV[5]) end
return 1
"""
"""Keeps the outcome, lets go and tells whoever waits, in one step; not where somebody else leads by now."""


class LeaseHolder(Enum):
    """Who holds a lease after an attempt to take it."""

    MINE = auto()
    OTHERS = auto()
    UNKNOWN = auto()
    """Redis is in trouble, so that nobody can say."""


@dataclass(slots=True)
class Lease:
    """The outcome of an attempt. Whoever holds it leaves what others want to know, if the work ends well."""

    held: LeaseHolder
    found: bytes = b""
    """What stood under the key when the lease was taken; empty for nothing."""
    message: bytes | None = None
    """For those who wait at that moment."""
    entry: bytes = b""
    ttl_s: float = 0.0
    """For how long the entry is to stand under the key; not at all if not positive."""


class _Foreseen(NamedTuple):
    """A lease that somebody is about to attempt; nobody renews it yet."""

    token: str
    lease: asyncio.Task[Lease]
    good_until: float


class Leases:
    """Leases of one site, each beside the entry that the work is about.

    Each holds a random token, so that a replica that comes late, its lease having run out, can neither lengthen nor end
    its successor's, nor speak for it.
    """

    def __init__(self, lines: Lines, pubsub: PubSubChannel, namespace: str) -> None:
        self._lines = lines
        self._pubsub = pubsub
        self._namespace = namespace
        self._foreseen: dict[str, _Foreseen] = {}

    @asynccontextmanager
    async def attempt(self, key: str) -> AsyncIterator[Lease]:
        """Try to take a lease. One that is ours is renewed inside the block; after it, it is let go and all are told.

        Leaving the block waits for nothing, so that the work done inside does not.
        """
        token, lease = await self._taken(key)
        if lease.held is not LeaseHolder.MINE:
            yield lease
            return
        renewal = asyncio.get_running_loop().create_task(self._renew(key, token))
        try:
            yield lease
        finally:
            renewal.cancel()
            self._let_go(key, token, lease)

    def foresee(self, key: str) -> None:
        """Try to take a lease that will be attempted in a moment, in one go with what else is asked in this tick."""
        if key not in self._foreseen:
            token, loop = secrets.token_hex(16), asyncio.get_running_loop()
            self._foreseen[key] = _Foreseen(token, loop.create_task(self._take(key, token)), loop.time() + RENEW_S)

    def disregard(self, key: str) -> None:
        """Give back what was foreseen and then not attempted."""
        foreseen = self._foreseen.pop(key, None)
        if foreseen is not None:
            self._give_back(key, foreseen)

    def leave(self, key: str, entry: bytes, ttl_s: float) -> None:
        """Leave an entry without a lease."""
        ttl_ms = int(ttl_s * 1000)
        if ttl_ms > 0:
            self._lines.send(key, "SET", key, entry, "PX", ttl_ms)

    async def left_s(self, key: str) -> float:
        """Tell for how long somebody holds the lease at least; 0 when nobody does, or while Redis is in trouble."""
        name = self._name(key)
        left_ms = await self._lines.ask(0, name, "PTTL", name)
        return max(left_ms, 0) / 1000

    async def _taken(self, key: str) -> tuple[str, Lease]:
        """Take a lease, if it has not been taken already: one that is foreseen to be another's may be free by now."""
        foreseen = self._foreseen.pop(key, None)
        if foreseen is not None and asyncio.get_running_loop().time() < foreseen.good_until:
            lease = await foreseen.lease
            if lease.held is LeaseHolder.MINE:
                return foreseen.token, lease
        elif foreseen is not None:
            self._give_back(key, foreseen)
        token = secrets.token_hex(16)
        return token, await self._take(key, token)

    def _give_back(self, key: str, foreseen: _Foreseen) -> None:
        def let_go(lease: asyncio.Task[Lease]) -> None:
            if not lease.cancelled() and lease.result().held is LeaseHolder.MINE:
                self._let_go(key, foreseen.token, Lease(LeaseHolder.MINE))

        foreseen.lease.add_done_callback(let_go)

    async def _take(self, key: str, token: str) -> Lease:
        name = self._name(key)

        def let_go(reply: tuple[int, bytes] | None) -> None:
            """Let no lease lie about that was taken for somebody who has left."""
            if reply and reply[0]:
                self._let_go(key, token, Lease(LeaseHolder.MINE))

        words = "EVAL", _TAKE, 2, name, key, token, _LEASE_MS
        reply: tuple[int, bytes] | None = await self._lines.ask(None, name, *words, unheard=let_go)
        if reply is None:
            return Lease(LeaseHolder.UNKNOWN)
        return Lease(LeaseHolder.MINE if reply[0] else LeaseHolder.OTHERS, reply[1])

    async def _renew(self, key: str, token: str) -> None:
        """Renew for as long as the lease is ours."""
        name, is_ours = self._name(key), 1
        while is_ours:
            await asyncio.sleep(RENEW_S)
            is_ours = await self._lines.ask(1, name, "EVAL", _RENEW, 1, name, token, _LEASE_MS)

    def _let_go(self, key: str, token: str, lease: Lease) -> None:
        name, status = self._name(key), b"" if lease.message is None else KEPT
        told = self._pubsub.channel, key, status, lease.message or b""
        kept = lease.entry, max(int(lease.ttl_s * 1000), 0)
        self._lines.send(name, "EVAL", _LET_GO, 2, name, key, token, *told, *kept)

    def _name(self, key: str) -> str:
        """Name the lease beside an entry: what stands in braces makes a cluster keep both at one place."""
        return f"{self._namespace}:lease:{{{key}}}"
