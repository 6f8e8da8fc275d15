"""A line that is written over and over reads like any other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from proxy.observe.log import LogOutput, _configure_structlog
from proxy.observe.log_writer import LogWriter
from proxy.observe.prerendered import prerendered_line
from proxy.observe.timestamp import Timestamp
from proxy.settings import LogSettings

FIELDS: dict[str, Any] = {"method": "GET", "route": "/thumb", "status": 200, "outcome": "hit"}


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect the lines of a configured log."""
    written: list[str] = []
    monkeypatch.setattr(LogWriter, "write", lambda _, line: written.append(line))
    yield written
    structlog.reset_defaults()


def configured(**settings: str) -> LogWriter:
    """Set the log's form up, and nothing else of the process."""
    writer = LogWriter(None)
    _configure_structlog(LogSettings.model_validate(settings), 20, writer, 3)
    return writer


def plain(line: str) -> str:
    """Take the time out, and the last zero of a fraction, which means nothing."""
    return re.sub(r"(\.\d)0\b", r"\1", re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", "?", line))


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("ms", [0.0, 0.25, 12.5, 1234567.75])
def test_a_prerendered_line_is_what_the_log_would_write(lines: list[str], form: str, ms: float) -> None:
    """In both forms, field by field, the worker's number included."""
    configured(format=form)
    structlog.get_logger("proxy.http").info("request", **FIELDS, ms=ms)
    say = prerendered_line("proxy.http", "request", **FIELDS)
    say.after(ms)
    say.after(ms)
    for now in (1000.0, 1000.0, 1000.1):
        say.in_batch(ms, now)
    assert [plain(line) for line in lines] == [plain(lines[0])] * 6


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_request_that_took_no_time_is_logged_alike(lines: list[str], form: str) -> None:
    """Several times in a millisecond, and in the next one."""
    configured(format=form)
    structlog.get_logger("proxy.http").info("request", **FIELDS, ms=0.0)
    say = prerendered_line("proxy.http", "request", **FIELDS)
    for now in (1000.0001, 1000.0002, 1000.0011):
        say.at_once(now)
    assert [plain(line) for line in lines] == [plain(lines[0])] * 4


def test_a_line_of_the_next_millisecond_has_its_own_time(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    times = [1000.0005]
    monkeypatch.setattr("proxy.observe.log.Timestamp", lambda: Timestamp(lambda: times[0]))
    configured()
    say = prerendered_line("proxy.http", "request", **FIELDS)
    for now in (1000.0005, 1000.0009, 1000.0011, 900.0):
        times[0] = now
        say.at_once(now)
    assert [json.loads(line)["time"][17:23] for line in lines] == ["40.000", "40.000", "40.001", "00.000"]


def test_lines_of_requests_that_ended_together_are_one_text(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that took as long, but ended later, and those that took longer, have lines of their own."""
    times = [1000.0]
    monkeypatch.setattr("proxy.observe.log.Timestamp", lambda: Timestamp(lambda: times[0]))
    configured()
    say = prerendered_line("proxy.http", "request", **FIELDS)
    for ms, now in ((1.5, 1000.0), (1.5, 1000.0), (2.5, 1000.0), (2.5, 1000.001)):
        times[0] = now
        say.in_batch(ms, now)
    told = [json.loads(line) for line in lines]
    assert [(line["time"][17:23], line["ms"]) for line in told] == [
        ("40.000", 1.5),
        ("40.000", 1.5),
        ("40.000", 2.5),
        ("40.001", 2.5),
    ]
    assert lines[0] is lines[1]


def test_a_number_that_looks_like_ours_changes_nothing(lines: list[str]) -> None:
    configured()
    prerendered_line("proxy.http", "request", method="123456.75", status=200).after(1.5)
    told = json.loads(lines[0])
    assert (told["method"], told["ms"]) == ("123456.75", 1.5)


def test_lines_that_were_lost_are_told(lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    writer = configured()
    say = prerendered_line("proxy.http", "request", **FIELDS)
    say.at_once(1000.0)
    monkeypatch.setattr(writer, "_overflowed", 7)
    say.at_once(1000.001)
    assert [json.loads(line).get("lines_dropped") for line in lines] == [None, 7]


def test_lines_that_were_lost_cost_the_next_ones_no_more_than_one_rendering_a_millisecond(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a log that was once too slow would make every later request slow."""
    writer = configured()
    say = prerendered_line("proxy.http", "request", **FIELDS)
    monkeypatch.setattr(writer, "_overflowed", 7)
    for now in (1000.0001, 1000.0002, 1000.0003):
        say.at_once(now)
    assert len({id(line) for line in lines}) == 1
    assert json.loads(lines[2])["lines_dropped"] == 7


def test_nothing_is_said_below_the_level(lines: list[str]) -> None:
    writer = LogWriter(None)
    structlog.configure(
        processors=[],
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=lambda name="proxy": LogOutput(name, writer, Timestamp()),
    )
    prerendered_line("proxy.http", "request", **FIELDS).at_once(1000.0)
    assert lines == []


def test_without_our_log_a_line_goes_to_other_handlers() -> None:
    with capture_logs() as entries:
        prerendered_line("proxy.http", "request", **FIELDS).after(1.234)
    assert entries == [{"event": "request", "log_level": "info", **FIELDS, "ms": 1.23}]
