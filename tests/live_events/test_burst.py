"""How many events may come together before some may have been dropped."""

from __future__ import annotations

import pytest

from proxy.live_events.burst import QUEUE, Burst


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ([(QUEUE - 1, 0.0)], [False]),
        ([(QUEUE, 0.0)], [True]),
        ([(QUEUE + 4, 0.0), (1, 0.1)], [True, False]),
        ([(QUEUE - 1, 0.0), (1, 0.5), (1, 0.6)], [False, True, False]),
        ([(QUEUE - 1, 0.0), (1, 1.5)], [False, False]),
        ([(QUEUE, 0.0), (QUEUE, 0.5)], [True, True]),
    ],
)
def test_as_many_as_wait_without_a_pause_are_a_long_burst(times: list[tuple[int, float]], told: list[bool]) -> None:
    """It is told once for each time that the queue may have been full."""
    burst = Burst(last_at=-10.0)
    assert [burst.is_long(events, at) for events, at in times] == told
