"""The first failure of a kind is told at once, and a storm of them in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.observe.failures import KINDS, SUMMARY_S, Facts, Failures, Kind

AWAY = Kind("unreachable", "No connection.", None, "run it")


class Timetable:
    """Work that is due later; a test lets it be due."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> Timetable:
        """Note a call."""
        self.due.append((seconds, call))
        return self

    def cancel(self) -> None:
        """Forget all calls; tests cancel no single one."""
        self.due.clear()

    def pass_by(self) -> None:
        """Make all calls that are due."""
        due, self.due = self.due, []
        for seconds, call in due:
            assert seconds == SUMMARY_S
            call()


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs() as entries:
        yield entries


@pytest.fixture
def time() -> Timetable:
    return Timetable()


def test_the_first_is_told_at_once_and_ends_with_what_to_do(lines: list[Any], time: Timetable) -> None:
    Failures(time.later).tell(AWAY, Facts("id1", "/thumb", 503))
    assert list(lines[0]) == ["category", "reason", "request_id", "route", "status", "advice", "event", "log_level"]
    assert (lines[0]["log_level"], lines[0]["reason"], lines[0]["advice"]) == ("warning", "No connection.", "run it")


def test_repetitions_are_told_in_one_line_with_their_number(lines: list[Any], time: Timetable) -> None:
    """And the last of them; with none, the next one is told at once again."""
    failures = Failures(time.later)
    for number in range(1001):
        failures.tell(AWAY, Facts(str(number)))
    assert [line["request_id"] for line in lines] == ["0"]
    time.pass_by()
    assert [(line["request_id"], line["count"], line["over_s"]) for line in lines[1:]] == [("1000", 1000, 30)]
    time.pass_by()
    assert (len(lines), time.due) == (2, [])
    failures.tell(AWAY, Facts("again"))
    assert lines[2]["request_id"] == "again"
    assert "count" not in lines[2]


def test_failures_of_different_kinds_do_not_hide_each_other(lines: list[Any], time: Timetable) -> None:
    """Category, reason and Cloudreve's code make the difference."""
    failures = Failures(time.later)
    kinds = [AWAY, AWAY._replace(category="upstream"), AWAY._replace(reason="Broken."), AWAY._replace(code=50004)]
    for kind in kinds * 2:
        failures.tell(kind, Facts())
    assert len(lines) == len(kinds)


def test_pending_summaries_are_written_at_the_end(lines: list[Any], time: Timetable) -> None:
    failures = Failures(time.later)
    for _ in range(3):
        failures.tell(AWAY, Facts())
    failures.close()
    assert [line.get("count") for line in lines] == [None, 2]
    assert time.due == []


def test_the_kinds_are_bounded(lines: list[Any], time: Timetable) -> None:
    failures = Failures(time.later)
    for number in range(KINDS + 100):
        failures.tell(AWAY._replace(reason=f"Reason {number}."), Facts())
    assert len(lines) == len(time.due) == KINDS + 1
    assert "reason" not in lines[-1]
