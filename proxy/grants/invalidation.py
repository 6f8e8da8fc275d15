"""When users have changed files of theirs through this gateway: what they were granted before counts no more."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from cachetools import TLRUCache

from proxy.cache.shared_values import SharedValues
from proxy.coalesce.singleflight import Singleflight
from proxy.domain.freshness import DATE_PRECISION_S
from proxy.domain.keys import changed_key
from proxy.domain.model import Grant, Identity, IdentityKind, Refusal
from proxy.upstream.clock import Clock

LOOK_S = 2.0
"""How long a user is believed not to have changed anything at another replica."""
SLACK_S = 2 * DATE_PRECISION_S
"""What is granted so soon after a change at another replica may be older than it: they agree on the time no better."""
FUTURE_S = 60.0
"""How far ahead another replica's time may be: two that know Cloudreve's clock differ by less."""
KNOWN_USERS = 10_000


class Change(NamedTuple):
    """The last one of a user, on Cloudreve's clock."""

    at: float = -math.inf
    """Grants of before count no more."""
    sure_until: float = math.inf
    """When to look again whether there has been another."""


NEVER = Change()


class Changes:
    """Each user's last change, told to all processes of one disk or Redis within `LOOK_S`, and here at once."""

    def __init__(
        self, shared_values: SharedValues, clock: Clock, singleflight: Singleflight[None], lasts_s: float
    ) -> None:
        self._shared_values = shared_values
        self._clock = clock
        self._singleflight = singleflight
        self._lasts_s = lasts_s
        self._known: TLRUCache[str, Change] = TLRUCache(
            KNOWN_USERS, ttu=lambda _, change, __: change.sure_until, timer=clock.now
        )

    async def note(self, identity: Identity) -> None:
        """Take note of a change that has just been made; it counts for as long as any grant of before could."""
        if identity.kind is not IdentityKind.USER:
            return
        key, at = changed_key(identity.subject), repr(self._clock.now())
        self._shared_values.remember(key, at, self._lasts_s)
        self._known.pop(identity.subject, None)
        outcome, _ = self._singleflight.join(f"{key} {at}", lambda: self._shared_values.keep(key, at, self._lasts_s))
        await outcome

    async def last(self, identity: Identity) -> Change:
        """Give a user's last change."""
        if identity.kind is not IdentityKind.USER:
            return NEVER
        known = self._known.get(identity.subject)
        if known is None:
            key, sure_until = changed_key(identity.subject), self._clock.now() + LOOK_S
            shared = await self._shared_values.shared(key)
            own = self._shared_values.lookup(key)  # after what takes time
            at = max([_time(own), *(self._heard(text) for text in shared if text != own)])
            known = self._known[identity.subject] = Change(at, sure_until)
        return known

    def _heard(self, text: str | None) -> float:
        """Read another replica's time; one far in the future, which none of ours tells, counts for nothing."""
        at = _time(text)
        return at + SLACK_S if at <= self._clock.now() + FUTURE_S else NEVER.at


def _time(text: str | None) -> float:
    with suppress(ValueError):
        at = float(text or "")
        return at if math.isfinite(at) else NEVER.at
    return NEVER.at


def is_older(entry: Grant | Refusal, changed: Change) -> bool:
    """Tell whether Cloudreve was asked before a change, of which its answer cannot know then."""
    asked_at = entry.granted_at if isinstance(entry, Grant) else entry.asked_at
    return asked_at <= changed.at


def ended_by(changed: Change, grant: Grant) -> Grant:
    """Let a grant from before a change be over since then."""
    is_over = is_older(grant, changed)
    return replace(grant, fresh_until=min(grant.fresh_until, changed.at)) if is_over else grant
