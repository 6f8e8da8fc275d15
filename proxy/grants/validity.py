"""The one rule of validity: whether what Cloudreve has granted still counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, TypeVar

from proxy.domain.grant import Grant
from proxy.domain.identity import Identity
from proxy.domain.refusal import Refusal
from proxy.domain.session import SessionRef
from proxy.domain.tags import Tag
from proxy.grants.invalidation import Invalidations

E = TypeVar("E", Grant, Refusal)


@dataclass(frozen=True, slots=True)
class Decision(Generic[E]):
    """Cloudreve's yes or no, for whom it was, until when it counts, and what it rests on."""

    identity: Identity
    grant: E
    """The yes, or a refusal."""
    valid_until: float = math.inf
    """Unix time in seconds on Cloudreve's clock: the end of the grant, or of knowing that the visitor is `identity`."""
    tags: tuple[Tag, ...] = ()
    """When one of these changes, the decision ends."""
    session: SessionRef | None = None
    """The session to which it was told, if any; it ends with its visitor's sign-out."""


def is_valid(decision: Decision[E], now: float, invalidations: Invalidations) -> bool:
    """Tell whether a decision may be acted on; `now` is on Cloudreve's clock.

    Lookup, sealed URLs and the fast path ask this before they show anything. The fast path asks now and then:
    a change or a sign-out raises the memory tier's version, and makes it ask at once. One exception: in an outage
    lookup shows a grant that has ended where the configuration says so (`grants.stale_if_error_s`, `Terms.is_bridge`).
    """
    if now >= decision.valid_until or invalidations.has_ended(decision.grant.stamp, decision.tags):
        return False
    return decision.session is None or not invalidations.session_has_ended(decision.session)
