"""Applies the settings to times of expiry: how long tiers keep grants and refusals, renewal, bridging an outage."""

from __future__ import annotations

from typing import NamedTuple

from proxy.domain.entry import Entry
from proxy.domain.freshness import DATE_PRECISION_S, is_plausible, refusal_ttl_s, renew_at
from proxy.domain.grant import Grant
from proxy.domain.refusal import Refusal
from proxy.upstream.clock import Clock

SLACK_S = 2 * DATE_PRECISION_S
"""Replicas agree on Cloudreve's time no better."""
UNKNOWN_CLOCK_S = 86_400.0
"""How far Cloudreve's clock may be ahead of ours before it has told its time."""


class Times(NamedTuple):
    """The settings that decide about times of expiry, in seconds."""

    max_ttl_s: float
    renew_s: float
    stale_if_error_s: float
    not_found_s: float
    denied_s: float
    resolve_timeout_s: float


class Terms:
    """Reads the times of entries on Cloudreve's clock."""

    def __init__(self, clock: Clock, times: Times) -> None:
        self._clock = clock
        self._times = times

    def is_due(self, grant: Grant) -> bool:
        """Tell whether a grant that is still asked for is to be renewed."""
        return self._clock.now() >= renew_at(grant, self._times.renew_s)

    def is_bridge(self, grant: Grant) -> bool:
        """Tell whether a grant may be shown for a while though it is over: Cloudreve cannot be asked."""
        return self.remaining_s(grant) > -self._times.stale_if_error_s

    @property
    def now(self) -> float:
        """The time by which grants end."""
        return self._clock.now()

    def remaining_s(self, entry: Grant | Refusal) -> float:
        """Tell how many seconds are left of a grant, not positive when it is over; or how long a refusal is kept."""
        if isinstance(entry, Grant):
            return entry.remaining_s(self._clock.now())
        return refusal_ttl_s(entry, not_found_s=self._times.not_found_s, denied_s=self._times.denied_s)

    def kept_s(self, entry: Grant | Refusal) -> float:
        """Tell how long an entry stays in the tiers: a grant that still counts, and then as a bridge over an outage."""
        remaining_s = self.remaining_s(entry)
        is_bridge = isinstance(entry, Grant) and remaining_s > 0
        return remaining_s + self._times.stale_if_error_s if is_bridge else remaining_s

    def promoted_s(self, entry: Entry) -> float:
        """Tell how long what Redis held may stay in memory.

        Not at all where only Redis can tell when it ends: a refusal, and a grant until Cloudreve's clock is known.
        """
        is_known = isinstance(entry, Grant) and self._clock.is_set and self.is_plausible(entry)
        return self.kept_s(entry) if isinstance(entry, Grant) and is_known else 0.0

    def is_plausible(self, entry: Entry) -> bool:
        """Tell whether a gateway may have written this. Until Cloudreve's clock is known ours may be wrong by hours."""
        if not isinstance(entry, (Grant, Refusal)):
            return False
        slack_s = SLACK_S if self._clock.is_set else UNKNOWN_CLOCK_S
        refused_s = self._times.resolve_timeout_s + max(self.remaining_s(entry), 0.0)
        max_ttl_s = self._times.max_ttl_s
        return is_plausible(entry, self._clock.now(), slack_s=slack_s, max_ttl_s=max_ttl_s, refused_s=refused_s)
