"""Computes times of expiry: how long things count: grants, refusals, identities; and what Cloudreve's clock says."""

from __future__ import annotations

from typing import assert_never

from proxy.domain.grant import Grant
from proxy.domain.http_date import http_date
from proxy.domain.refusal import Refusal, RefusalKind

DATE_PRECISION_S = 1.0
"""`Date` is cut to whole seconds (RFC 9110 §5.6.7)."""


def fresh_until(expires: float | None, now: float, *, margin_s: float, max_ttl_s: float, default_ttl_s: float) -> float:
    """Tell until when a grant counts, in seconds of the same clock as `expires` and `now` (Cloudreve's)."""
    lifetime_s = default_ttl_s if expires is None else expires - now - margin_s
    return now + min(lifetime_s, max_ttl_s)


def renew_at(grant: Grant, renew_s: float) -> float:
    """Tell from when on a grant that is still asked for is renewed: `renew_s` before its end, in its last fifth."""
    return grant.fresh_until - min(renew_s, (grant.fresh_until - grant.granted_at) / 5)


def skew(date: str | None, received_at: float) -> float | None:
    """Tell by how many seconds Cloudreve's clock is ahead of ours; None without a usable `Date`.

    `Date` is set when the answer leaves, which may be minutes after the question (docs/cloudreve.md, Generating), so
    only the time of receipt says something about it.
    """
    seconds = http_date(date)
    return None if seconds is None else seconds + DATE_PRECISION_S / 2 - received_at


def refusal_ttl_s(refusal: Refusal, *, not_found_s: float, denied_s: float) -> float:
    """Tell how many seconds a refusal is kept: none where asking again may give something else."""
    match refusal.kind:
        case RefusalKind.NOT_FOUND | RefusalKind.BAD_REQUEST:
            return not_found_s if refusal.code > 0 else 0.0
        case RefusalKind.UNAUTHENTICATED | RefusalKind.FORBIDDEN | RefusalKind.PAYMENT_REQUIRED:
            return denied_s
        case RefusalKind.UNREADABLE | RefusalKind.UNKNOWN:
            return 0.0
        case _:
            assert_never(refusal.kind)


def is_final(refusal: Refusal) -> bool:
    """Tell whether asking again would give the same, so that no grant of before counts any more."""
    return refusal_ttl_s(refusal, not_found_s=1.0, denied_s=1.0) > 0


def is_plausible(entry: Grant | Refusal, now: float, *, slack_s: float, max_ttl_s: float, refused_s: float) -> bool:
    """Tell whether the rules of this gateway allow such an entry now: what a store holds may be written by others.

    `slack_s` is how far clocks may differ, `refused_s` how long after it was asked for a refusal is kept at most.
    """
    latest = now + slack_s
    if isinstance(entry, Grant):
        return entry.granted_at <= latest and entry.fresh_until <= latest + max_ttl_s
    return now - slack_s - refused_s < entry.asked_at <= latest


def backoff_s(attempt: int, jitter: float) -> float:
    """Tell how many seconds to wait before asking again for a thumbnail that is being generated.

    `attempt` counts from 0, `jitter` is in [0, 1). A small picture takes 0.5 to 1.2 s (docs/cloudreve.md, Generating),
    so the wait grows from about 0.1 s to 1 s and stays there; half of it is random, so that waiters spread out.
    """
    ceiling_s = min(0.1 * 2.0 ** min(attempt, 4), 1.0)
    return ceiling_s * (0.5 + jitter / 2)
