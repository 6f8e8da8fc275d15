"""Which sessions have ended, by user: values that can be merged in any order, and their bytes in a shared store.

Per user the newest `MAX_SESSIONS` ended sessions are listed. Of older ones only a time is kept, before which all of the
user's sessions have ended. That time is the beginning of an ended session, and is compared with the beginning that is
sealed in a cookie: both are the same number from the same clock, so that an ended session stays ended whatever clocks
say. What it may cost is a live session of the same user that is older than all those.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from math import isfinite
from typing import NamedTuple, TypeAlias

import msgspec

MAX_SESSIONS = 16
"""How many ended sessions of one user are listed."""
SLACK_S = 60.0
"""How much longer than its cookie an ended session is remembered: replicas know Cloudreve's time to a second or two."""
FUTURE_S = 86_400.0
TAG_BYTES = 16
_NEVER = -1.0


class EndedSession(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One session that its visitor has ended."""

    started: float
    name: str
    """A digest of its id."""
    ends: float
    """When its cookie ends by itself."""


class EndedOfUser(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The ended sessions of one user."""

    sessions: tuple[EndedSession, ...] = ()
    """By the time of their beginning."""
    before: float = _NEVER
    """Sessions that began then or earlier have all ended."""
    ends: float = 0.0
    """When the last of these ends by itself."""

    def includes(self, name: str, started: float) -> bool:
        """Tell whether a session has ended."""
        return started <= self.before or any(session.name == name for session in self.sessions)

    def merged(self, other: EndedOfUser) -> EndedOfUser:
        """Give what both know."""
        known = sorted({session.name: session for session in (*self.sessions, *other.sessions)}.values(), key=_order)
        older = known[:-MAX_SESSIONS]
        before = max(self.before, other.before, *(session.started for session in older))
        covered = [session.ends for session in known if session.started <= before]
        remaining = tuple(session for session in known if session.started > before)
        return EndedOfUser(remaining, before, max(self.ends, other.ends, *covered))

    def pruned(self, now: float) -> EndedOfUser:
        """Leave out what no cookie can be good for any more."""
        remaining = tuple(session for session in self.sessions if now < session.ends + SLACK_S)
        if len(remaining) == len(self.sessions) and (self.before == _NEVER or now < self.ends + SLACK_S):
            return self
        before = self.before if now < self.ends + SLACK_S else _NEVER
        return EndedOfUser(remaining, before, self.ends if before != _NEVER else 0.0)


Users: TypeAlias = Mapping[str, EndedOfUser]
"""By a digest of the user's id."""
NOBODY = EndedOfUser()


def merged(ours: Users, theirs: Users, now: float) -> dict[str, EndedOfUser]:
    """Give what both know and what still matters."""
    both = {
        user: ours.get(user, NOBODY).merged(theirs[user]).pruned(now)
        if user in theirs and ours.get(user) != theirs[user]
        else (ours.get(user) or theirs[user]).pruned(now)
        for user in {**ours, **theirs}
    }
    return {user: ended for user, ended in both.items() if ended != NOBODY}


def plausible(users: Users, now: float) -> dict[str, EndedOfUser]:
    """Leave out users whose sessions are said to have begun in the future: that would end those that begin till then.

    None of ours writes that; a clock that is put back may make it seem so, by less than `FUTURE_S`.
    """
    latest = now + FUTURE_S
    return {
        user: ended
        for user, ended in users.items()
        if max([ended.before, *(session.started for session in ended.sessions)]) <= latest
    }


class StoredSignOuts(NamedTuple):
    """The content of a store."""

    users: Users
    generation: str
    """Random; another one says that the store has lost what it held."""
    is_settled: bool
    """Whether every process has had the time to write into this generation what it remembers."""


class _StoredSignOuts(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="sign-outs/1"):
    generation: str
    is_settled: bool
    users: dict[str, EndedOfUser]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_StoredSignOuts)


def encode(kept: StoredSignOuts) -> bytes:
    """Write it, a tag first that no other content has."""
    body = _encoder.encode(_StoredSignOuts(kept.generation, kept.is_settled, dict(kept.users)))
    return blake2b(body, digest_size=TAG_BYTES).digest() + body


def decode(raw: bytes) -> StoredSignOuts | None:
    """Read it; None for anything else."""
    try:
        read = _decoder.decode(raw[TAG_BYTES:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if raw[:TAG_BYTES] != blake2b(raw[TAG_BYTES:], digest_size=TAG_BYTES).digest():
        return None
    users = {user: NOBODY.merged(ended) for user, ended in read.users.items() if _is_finite(ended)}
    return StoredSignOuts(users, read.generation, read.is_settled)


def _is_finite(ended: EndedOfUser) -> bool:
    times = [time for session in ended.sessions for time in (session.started, session.ends)]
    return all(map(isfinite, (*times, ended.before, ended.ends)))


def _order(session: EndedSession) -> tuple[float, str]:
    return session.started, session.name
