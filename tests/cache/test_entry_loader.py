"""Entries are read where another process has left them, or made here, and stored in all tiers."""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.cache.entry_loader import WantedEntry, entry_loader
from proxy.cache.memory_tier import MemoryTier
from proxy.cache.tiers import Tiers
from proxy.coalesce.messages import DONE, Received, Stored, Whole
from proxy.coalesce.work_sharing import Loader
from proxy.domain.codec import encode
from proxy.domain.entry import Entry
from proxy.domain.grant import Grant
from tests.cache.conftest import MIB, MakeTier
from tests.harness.redis_server import RedisServer

KEY = "g:1"
GRANT = Grant("https://cloud.example.com/x?sign=y", 1795000000.5, "ab12", own=True)
NEWER = Grant("https://cloud.example.com/x?sign=z", 1795003600.5, "ab12", own=True)


@dataclass
class Room:
    """Wants a grant, and notes what it was offered."""

    tiers: Tiers
    takes: Grant | None = None
    offered: list[tuple[Entry, Received | None]] = field(default_factory=list)

    def loader(self, *, kept_s: float = 60.0) -> Loader[Grant]:
        """Give the loader."""
        wanted = WantedEntry(KEY, "", self._accept, self._make, lambda _: 60.0, lambda _: kept_s)
        return entry_loader(self.tiers, wanted)

    async def _accept(self, entry: Entry, received: Received | None) -> Grant | None:
        self.offered.append((entry, received))
        return entry if isinstance(entry, Grant) and self.takes in (None, entry) else None

    async def _make(self) -> Grant:
        return NEWER


async def test_an_entry_that_is_made_is_stored_here_at_once_and_for_all_by_its_commit(
    make_tier: MakeTier, redis_server: RedisServer
) -> None:
    """The commit gives what the shared tier itself would write."""
    tier = make_tier(redis_server.url, timeout_s=10.0).tier
    room = Room(Tiers(MemoryTier(MIB), shared=tier))
    loader = room.loader()
    assert await loader.load() == NEWER
    assert room.tiers.get_nowait(KEY) == NEWER
    assert await tier.get(KEY) is None, "the lease writes it"
    message, commit = loader.write(NEWER)
    assert message == DONE
    assert commit is not None
    value, ttl_ms = commit()
    assert ttl_ms == 60_000
    redis_server.command("SET", tier.build_key(KEY), value, "PX", ttl_ms)
    assert await tier.get(KEY) == NEWER


async def test_an_entry_that_lasts_no_time_is_not_committed(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """A grant that is over already serves the request at hand and nobody else."""
    commit = (
        Room(Tiers(MemoryTier(MIB), shared=make_tier(redis_server.url).tier)).loader(kept_s=0.0).write(NEWER).commit
    )
    assert commit is not None
    assert commit() == (b"", 0)


async def test_without_a_shared_tier_there_is_nothing_to_commit() -> None:
    assert Room(Tiers(MemoryTier(MIB))).loader().write(NEWER).commit is None


async def test_an_entry_of_another_process_is_accepted_with_its_message(
    make_tier: MakeTier, redis_server: RedisServer
) -> None:
    """From the message, from the value under the lease, or from the tier; and only if it is wanted."""
    tier = make_tier(redis_server.url, timeout_s=10.0).tier
    await tier.set(KEY, GRANT, 60.0)
    stored = tier.write(KEY, NEWER, 60.0).value
    room = Room(Tiers(MemoryTier(MIB), shared=tier))
    told, found = Whole(encode(NEWER)), Stored(stored)
    assert await room.loader().read(told) == NEWER
    assert await room.loader().read(found) == NEWER
    assert await room.loader().read(DONE) == GRANT
    assert await room.loader().read(None) == GRANT
    assert room.offered == [(NEWER, told), (NEWER, found), (GRANT, DONE), (GRANT, None)]
    room.takes = NEWER
    assert await room.loader().read(DONE) is None


async def test_rubbish_under_a_lease_is_not_looked_for_again(make_tier: MakeTier, redis_server: RedisServer) -> None:
    """The lease has just read the tier; rubbish in a message is looked for there."""
    tier = make_tier(redis_server.url, timeout_s=10.0).tier
    await tier.set(KEY, GRANT, 60.0)
    room = Room(Tiers(MemoryTier(MIB), shared=tier))
    assert await room.loader().read(Stored(b"rubbish")) is None
    assert await room.loader().read(Whole(b"rubbish")) == GRANT
