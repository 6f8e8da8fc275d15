"""How an entry is loaded once for all replicas: read where another has left it, or made, and stored in all tiers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from proxy.cache.tiers import Tiers
from proxy.coalesce.messages import DONE, Message, Received, Stored, Whole
from proxy.coalesce.work_sharing import Handover, Loader
from proxy.domain.client import Client
from proxy.domain.codec import decode
from proxy.domain.entry import Entry

E = TypeVar("E", bound=Entry)


def stored_alone(_: Entry) -> Message:
    """Tell the others no more than that the entry is stored."""
    return DONE


@dataclass(frozen=True, slots=True)
class WantedEntry(Generic[E]):
    """An entry that is to be loaded, and its room's rules."""

    key: str
    client: Client
    accept: Callable[[Entry, Received | None], Awaitable[E | None]]
    """Gives an entry that was left by another process, if it is the one that is wanted."""
    make: Callable[[], Awaitable[E]]
    promoted_s: Callable[[Entry], float]
    """For how many seconds the tiers of this machine may hold an entry that another process has left."""
    kept_s: Callable[[E], float]
    """For how many seconds all tiers may hold an entry that was made here."""
    message: Callable[[E], Message] = stored_alone


def entry_loader(tiers: Tiers, wanted: WantedEntry[E]) -> Loader[E]:
    """Make the loader of an entry."""
    key, client = wanted.key, wanted.client

    async def read(received: Received | None) -> E | None:
        entry = _entry_in(tiers, key, received)
        if entry is None and isinstance(received, Stored):
            return None
        entry = await tiers.get_shared(key, wanted.promoted_s, entry, client)
        return await wanted.accept(entry, received) if entry is not None else None

    async def load() -> E:
        entry = await wanted.make()
        tiers.set_local(key, entry, wanted.kept_s(entry), client)
        return entry

    def write(entry: E) -> Handover:
        return Handover(wanted.message(entry), tiers.commit(key, entry, wanted.kept_s(entry)))

    return Loader(key, read, load, write)


def _entry_in(tiers: Tiers, key: str, received: Received | None) -> Entry | None:
    """Give the entry that another process has left together with its message."""
    match received:
        case Stored(value):
            return tiers.opened(key, value)
        case Whole(value=value):
            return decode(value)
    return None
