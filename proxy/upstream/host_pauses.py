"""A circuit breaker for each image host: left alone while it asks for that, by 429 or 503, or does not answer."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cachetools import LRUCache

from proxy.domain.http_date import http_date
from proxy.domain.storage_errors import StorageBusy

DEFAULT_PAUSE_S = 1.0
"""For a host that names no time."""
LONGEST_PAUSE_S = 3600.0
FAILURES = 3
"""So many requests in a row without a whole answer pause a host."""
FAILED_PAUSE_S = 5.0
KNOWN_HOSTS = 1000


@dataclass(slots=True)
class _Pause:
    """Until when a host is left alone, by the loop's clock, and whether a request is trying it since."""

    until: float
    is_probed: bool = False


class HostPauses:
    """Refuses requests to a paused host; when its time is over one goes through, and tells for all how it is.

    So a breaker is open, then half-open. A 500 pauses nothing: one picture that cannot be made would hide all others.
    """

    def __init__(self) -> None:
        self._pauses: LRUCache[str, _Pause] = LRUCache(KNOWN_HOSTS)
        self._failures: LRUCache[str, int] = LRUCache(KNOWN_HOSTS)

    @contextmanager
    def request(self, host: str) -> Iterator[None]:
        """Make one request; raise StorageBusy while the host is paused. StorageBusy from inside pauses it."""
        pause = self._pauses.get(host)
        if pause is not None:
            self._check(pause)
            pause.is_probed = True
        try:
            yield
        except StorageBusy as busy:
            self._pause(host, busy.after_s)
            raise
        except BaseException:
            if pause is not None:
                pause.is_probed = False  # it has not told; the next request tries again
            raise
        if self._pauses.get(host) is pause:
            self._pauses.pop(host, None)

    def fail(self, host: str) -> None:
        """Take note that a request got no whole answer."""
        self._failures[host] = self._failures.get(host, 0) + 1
        if self._failures[host] >= FAILURES:
            self._pause(host, FAILED_PAUSE_S)

    def hear(self, host: str) -> None:
        """Take note of a whole answer."""
        self._failures.pop(host, None)

    def _pause(self, host: str, seconds: float) -> None:
        self._pauses[host] = _Pause(asyncio.get_running_loop().time() + seconds)

    def _check(self, pause: _Pause) -> None:
        remaining_s = pause.until - asyncio.get_running_loop().time()
        if remaining_s > 0 or pause.is_probed:
            raise StorageBusy(max(remaining_s, DEFAULT_PAUSE_S))


def retry_after_s(value: str | None, now: float) -> float:
    """Read `Retry-After` (RFC 9110 §10.2.3): seconds or a date; `now` is Unix time on the host's own clock."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return _bounded(float(text))
    date = http_date(text)
    return DEFAULT_PAUSE_S if date is None else _bounded(date - now)


def host_time(date: str | None) -> float:
    """Read a host's own clock from its `Date`; ours where it says none that can be read."""
    seconds = http_date(date)
    return time.time() if seconds is None else seconds


def _bounded(seconds: float) -> float:
    return min(max(seconds, DEFAULT_PAUSE_S), LONGEST_PAUSE_S) if math.isfinite(seconds) else LONGEST_PAUSE_S
