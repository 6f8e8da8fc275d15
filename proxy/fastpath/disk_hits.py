"""Answers known before whose pictures are on disk, and can be read there without waiting."""

from __future__ import annotations

from collections.abc import Callable

from proxy.fastpath.date_field import DateField
from proxy.fastpath.entry import FinishedAnswer, HeadAndBody
from proxy.upstream.clock import Clock


class DiskHits:
    """Gives answers with pictures from disk. They are counted, and not timed: nothing is waited for."""

    def __init__(self, stands: Callable[[FinishedAnswer, float], bool], clock: Clock) -> None:
        """Take `stands`, which tells whether an answer still counts."""
        self._stands = stands
        self._now = clock.now
        self._today = DateField()

    def answer(self, known: FinishedAnswer, ours: float) -> HeadAndBody | None:
        """Give the answer; None where the disk would have to be waited for, or it has to go the long way."""
        stored = known.stored
        body = stored.read(ours) if stored is not None else None
        if body is None:
            known.stored = None
            return None
        now = self._now()
        if not self._stands(known, now):
            return None
        provenance = known.provenances.disk
        sent = body if known.has_body else b""
        provenance.tally.count += 1
        provenance.tally.sent_bytes += len(sent)
        if known.log_line is not None:
            known.log_line.at_once(ours)
        return known.head_for(now, self._today(ours), provenance), sent
