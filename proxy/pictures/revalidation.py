"""Which version of a foreign picture its storage was last seen to hold, and for how long that is believed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from cachetools import LRUCache, TTLCache

from proxy.domain.picture import Picture, PictureId

KNOWN_PICTURES = 100_000
FAILED_S = 5.0
"""How long a storage is not asked about a picture for which it had no answer."""


class _Seen(NamedTuple):
    version: str
    at: float


class Revalidation:
    """Believes for `recheck_s` that a picture has not changed, and for `stale_s` while its storage does not answer.

    Every visitor who is shown it holds a live grant that names it. Without asking storage only those see it who
    have been shown this very version before.
    """

    def __init__(self, recheck_s: float, stale_s: float, timer: Callable[[], float]) -> None:
        self._recheck_s = recheck_s
        self._stale_s = stale_s
        self._timer = timer
        self._seen: LRUCache[PictureId, _Seen] = LRUCache(KNOWN_PICTURES)
        self._shown: LRUCache[tuple[str, PictureId], str] = LRUCache(KNOWN_PICTURES)
        self._failing_since: LRUCache[PictureId, float] = LRUCache(KNOWN_PICTURES)
        self._failed: TTLCache[PictureId, None] = TTLCache(KNOWN_PICTURES, FAILED_S, timer=timer)

    def note(self, picture: Picture) -> None:
        """Take note that storage has just been seen to hold this version."""
        self._seen[picture.id] = _Seen(picture.version, self._timer())
        self._failed.pop(picture.id, None)
        self._failing_since.pop(picture.id, None)

    def show(self, holder: str, picture: PictureId, version: str) -> None:
        """Take note that the holder of a grant, named by the grant's key, is shown this version."""
        if holder:
            self._shown[holder, picture] = version

    def fail(self, picture: Picture) -> None:
        """Take note that storage does not answer."""
        self._failed[picture.id] = None
        self._failing_since.setdefault(picture.id, self._timer())

    def has_failed(self, picture: Picture) -> bool:
        """Tell whether storage did not answer a moment ago."""
        return picture.id in self._failed

    def is_current(self, holder: str, picture: Picture) -> bool:
        """Tell whether nobody need ask whether this version is still the one."""
        seen = self._seen.get(picture.id)
        if seen is None or self._shown.get((holder, picture.id)) != picture.version:
            return False
        return seen.version == picture.version and self._timer() - seen.at < self._recheck_s

    def may_bridge(self, picture: Picture) -> bool:
        """Tell whether this version may be shown while storage does not answer."""
        now = self._timer()
        return now - self._failing_since.get(picture.id, now) < self._stale_s
