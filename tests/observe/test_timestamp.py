"""The time as the log has it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.observe.timestamp import Timestamp


@given(st.lists(st.floats(0, 4e9), min_size=1))
def test_a_timestamp_is_in_iso_8601(times: list[float]) -> None:
    """In whatever order times are asked for, cut to milliseconds."""
    waiting = iter(times)
    stamp = Timestamp(lambda: next(waiting))
    for time in times:
        text = stamp()
        assert len(text) == len("2026-11-23T14:20:17.123+00:00")
        assert datetime.fromisoformat(text).tzinfo == UTC
        assert datetime.fromisoformat(text).timestamp() == pytest.approx(int(time * 1000) / 1000, abs=1e-4)


def test_milliseconds_are_written_with_three_digits() -> None:
    times = iter([0.0, 0.0005, 0.001, 0.0999, 0.9999, 1.0])
    stamp = Timestamp(lambda: next(times))
    assert [stamp()[17:23] for _ in range(6)] == ["00.000", "00.000", "00.001", "00.099", "00.999", "01.000"]
