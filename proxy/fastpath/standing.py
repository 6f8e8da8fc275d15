"""Whether what an answer rests on still counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.cache.tiers import Tiers
from proxy.fastpath.entry import FinishedAnswer
from proxy.fastpath.key import Key
from proxy.fastpath.meaning import Meaning
from proxy.grants.invalidation import Invalidations
from proxy.grants.validity import is_valid

STANDS_S = 30.0
"""How long an answer is known to stand while no other grant comes and nothing changes, if it does not end before."""


class Standing:
    """Looks at answers; one that stands no more is dropped."""

    def __init__(
        self,
        finished: Mapping[tuple[bytes, Meaning | None], FinishedAnswer],
        tiers: Tiers,
        invalidations: Invalidations,
        drop: Callable[[Key], None],
    ) -> None:
        self._finished = finished
        self._tiers = tiers
        self._memory = tiers.memory
        self._invalidations = invalidations
        self._drop = drop

    def still_stands(self, known: FinishedAnswer, now: float) -> bool:
        """Tell whether the grant counts, without another look while no other grant has come."""
        version = self._memory.grants_version
        if now < known.stands_until and known.stands_version == version:
            return True
        is_good = self.stands(known, now)
        if is_good:
            known.stands_until, known.stands_version = min(now + STANDS_S, known.decision.valid_until), version
        return is_good

    def stands(self, known: FinishedAnswer, now: float) -> bool:
        """Tell whether the grant counts. An eviction from memory does not end it, a deletion does."""
        if self._finished.get(known.key) is not known:
            return False
        grant = known.decision.grant
        held = self._memory.get_nowait(known.grant_key) if known.grant_key else grant
        is_the_same = held == grant or (held is None and self._tiers.deletions == known.deletions)
        if is_the_same and is_valid(known.decision, now, self._invalidations):
            return True
        self._drop(known.key)
        return False
