"""The log of changes in Redis: a stream, whose ids are its positions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from proxy.cache.redis_tier import RedisTier
from proxy.grants.change_log import LogFailed, Page, opened
from proxy.redis.pubsub import PubSubChannel

MAX_ENTRIES = 20_000
"""So many are kept; whoever has read less far has missed some, and trusts nothing from before."""
PAGE = 1000
POLL_S = 1.0
DEAF_POLL_S = 0.25
"""The same while there is no subscription."""

_KEY = "changes"
_LASTS_MS = 7 * 86400 * 1000
_SEQUENCE_BITS = 20
_EXCHANGE = """
local kind = redis.call('type', KEYS[1]).ok
if kind ~= 'stream' and kind ~= 'none' then redis.call('del', KEYS[1]) end
if redis.call('exists', KEYS[1]) == 0 then
  local begun = redis.pcall('xadd', KEYS[1], '*', 'e', '')
  if type(begun) == 'table' and begun.err then return {0, {}} end
end
local from, lost = ARGV[1], 0
local function has(first, last) return #redis.call('xrange', KEYS[1], first, last, 'COUNT', 1) > 0 end
if from ~= '-' and not has(from, from) and has('-', from) then
  if not has(from, '+') then
    local marked = redis.pcall('xadd', KEYS[1], ARGV[6], 'e', '')
    if type(marked) == 'table' and marked.err then return {0, {}} end
  end
  from, lost = '-', 1
end
local stored = 1
for i = 7, #ARGV do
  local added = redis.pcall('xadd', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'e', ARGV[i])
  if type(added) == 'table' and added.err then stored = 0 end
end
if #ARGV > 6 then redis.pcall('publish', ARGV[4], KEYS[1] .. ' ') end
redis.call('pexpire', KEYS[1], ARGV[2])
return {stored, redis.call('xrange', KEYS[1], from, '+', 'COUNT', ARGV[5]), lost}
"""
"""ARGV: position, milliseconds, bound, channel, page, the position behind the first, entries.

A stream that holds older entries and not the one at the position has lost it: a replica that had not received it has
become the master, maybe with a clock behind. The stream goes on above that position then."""


class RedisLog:
    """A stream that all replicas of one Redis write. Its ids are times of that Redis' clock, which alone counts."""

    name = "redis"

    def __init__(self, redis: RedisTier, pubsub: PubSubChannel) -> None:
        self._connections = redis.connections
        self._seal = redis.seal
        self._key = redis.build_key(_KEY)
        self._pubsub = pubsub

    @property
    def poll_s(self) -> float:
        """How often to look without being told."""
        return POLL_S if self._pubsub.is_heard else DEAF_POLL_S

    def is_available(self) -> bool:
        """Tell whether Redis can be asked at present."""
        return self._connections.is_available(self._key)

    def woken(self) -> AbstractContextManager[asyncio.Future[bytes]]:
        """Give a future that is done when another replica has written."""
        return self._pubsub.reader(self._key)

    async def exchange(self, after: int, entries: Sequence[bytes]) -> Page:
        """Append entries, sealed, and read on, in one step."""
        sealed = [self._seal.seal(self._key, entry) for entry in entries]
        common = _id(after), _LASTS_MS, MAX_ENTRIES, self._pubsub.channel, PAGE, _id(after + 1)
        nothing: list[Any] = []
        reply = await self._connections.ask(nothing, self._key, "EVAL", _EXCHANGE, 1, self._key, *common, *sealed)
        if not reply or (entries and not reply[0]) or not reply[1]:
            raise LogFailed
        found = [(_position(name), opened(self._seal, self._key, b"".join(fields[1:2]))) for name, fields in reply[1]]
        return Page(found, len(found) >= PAGE, bool(reply[2]))


def _id(position: int) -> str:
    return f"{position >> _SEQUENCE_BITS}-{position & ((1 << _SEQUENCE_BITS) - 1)}" if position else "-"


def _position(name: bytes) -> int:
    milliseconds, _, sequence = name.partition(b"-")
    return int(milliseconds) << _SEQUENCE_BITS | int(sequence)
