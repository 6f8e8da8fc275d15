"""Client ids under which Cloudreve keeps the events of a folder while nobody listens; `subscription` argues them."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple
from uuid import UUID, uuid4

from proxy.cache.shared_values import SharedValues
from proxy.domain.keys import watch_key

HAND_OVER_S = 1.0
"""How long a client that has left stays away: a proxy before Cloudreve may have confirmed its end."""
UNCONFIRMED_S = 5.0
"""The same where no such word has come."""
KEPT_S = 13 * 86400.0
"""How long the id of a client that has left is good: Cloudreve keeps it for 14 days."""

_TAKEN = "taken"
"""Stands in place of a client id that a process has taken up."""
_UNCONFIRMED = " unconfirmed"
"""Stands behind one whose last events may be lost."""


class ClientId(NamedTuple):
    """A client id, and what Cloudreve may know of it."""

    text: str
    was_used: bool
    """Whether a process has listened to the folder before, as far as is known."""
    is_kept: bool = False
    """Whether Cloudreve may have kept all that has happened since it left."""
    away_s: float = 0.0
    """For how long it must not be used yet."""


class ClientIds:
    """Hands ids from one process to the next, in texts that all processes share."""

    def __init__(self, notes: SharedValues, lasts_s: float) -> None:
        """`lasts_s` is how long grants last that may have been given while somebody listened."""
        self._notes = notes
        self._lasts_s = lasts_s

    async def take(self, folder: str) -> ClientId:
        """Take up the id that was left for a folder, or make a new one."""
        key = _key(folder)
        noted = await self._notes.get_most_shared(key)
        await self._notes.set(key, _TAKEN, self._lasts_s)
        with suppress(ValueError):
            if noted is not None and noted != _TAKEN:
                text, is_kept = str(UUID(noted.removesuffix(_UNCONFIRMED))), not noted.endswith(_UNCONFIRMED)
                return ClientId(text, True, is_kept, HAND_OVER_S if is_kept else UNCONFIRMED_S)
        return ClientId(str(uuid4()), noted is not None)

    async def leave(self, folder: str, client_id: str, *, is_confirmed: bool) -> None:
        """Leave an id to the next process; `is_confirmed`: no event before its end was lost."""
        await self._notes.set(_key(folder), client_id if is_confirmed else client_id + _UNCONFIRMED, KEPT_S)


def _key(folder: str) -> str:
    return watch_key(f"client {folder}")
