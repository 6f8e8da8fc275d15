"""How far counters have risen within an hour."""

from __future__ import annotations

from proxy.admin.history import HOUR_S, STEP_S, History, Series

HITS: Series = ("requests_total", (("outcome", "hit"),))
MISSES: Series = ("requests_total", (("outcome", "miss"),))


def test_at_first_all_that_was_counted_has_risen() -> None:
    history = History(0.0)
    assert history.rises([(HITS, 3.0), (MISSES, 0.0)]) == {HITS: 3.0}
    assert history.span_s(7.0) == 7.0


def test_samples_older_than_an_hour_no_longer_count() -> None:
    history = History(0.0)
    steps = int(2 * HOUR_S / STEP_S)
    for step in range(1, steps + 1):
        history.remember(step * STEP_S, [(HITS, float(step))])
    assert history.span_s(steps * STEP_S) == HOUR_S
    assert history.rises([(HITS, float(steps)), (MISSES, 2.0)]) == {HITS: HOUR_S / STEP_S, MISSES: 2.0}
