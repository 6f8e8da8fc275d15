"""A log line that is written very often: the parts that never change are rendered once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgspec
import structlog

from proxy.observe.log import LogOutput, as_json
from proxy.observe.log_writer import LogWriter


class PrerenderedLine(NamedTuple):
    """Writes one event at level info again and again; structlog is slower."""

    at_once: Callable[[float], object]
    """Given the Unix time in seconds: says that it took no time."""
    after: Callable[[float], object]
    """Given the milliseconds that it took."""
    in_batch: Callable[[float, float], object]
    """Given these, and the Unix time: lines with the same two numbers are rendered once."""


def prerendered_line(logger: str, event: str, **fields: str | int | None) -> PrerenderedLine:
    """Make the functions that write this event."""
    log, config = structlog.get_logger(logger).bind(), structlog.get_config()
    lines = config["logger_factory"](logger)

    def plainly(ms: float) -> None:
        log.info(event, **fields, ms=round(ms, 2))

    processors = config["processors"]
    if not isinstance(lines, LogOutput) or processors[-1:] != [as_json] or not log.is_enabled_for(logging.INFO):
        return PrerenderedLine(lambda _: plainly(0.0), plainly, lambda ms, _: plainly(ms))
    members: Any = {"event": event, **fields, "ms": 0.0}
    for process in processors[:-1]:
        members = process(lines, "info", members)
    between, end = _around_ms(members)
    stamp, writer = lines.stamp, lines.writer

    def text(ms: str) -> str:
        if not writer.dropped:
            return f'{{"time":"{stamp()}",{between}{ms}{end}'
        line: Any = {"event": event, **fields, "ms": float(ms)}
        for process in processors:  # every line says so
            line = process(lines, "info", line)
        return str(line)

    def after(ms: float) -> None:
        writer.write(text(f"{ms:.2f}"))

    return PrerenderedLine(_of_each_ms(partial(text, "0.0"), writer), after, _of_each_moment(text, writer))


def _around_ms(members: dict[str, Any]) -> tuple[str, str]:
    """Render the members of a line from behind the time to the milliseconds, and those behind them."""
    rendered = {name: msgspec.json.encode({name: value}).decode()[1:-1] for name, value in members.items()}
    del rendered["time"]
    at = list(rendered).index("ms")
    texts = list(rendered.values())
    return ",".join([*texts[:at], '"ms":']), "".join(f",{text}" for text in texts[at + 1 :]) + "}"


def _of_each_ms(text: Callable[[], str], writer: LogWriter) -> Callable[[float], None]:
    """Write a text that is the same throughout a millisecond."""
    begins = ends = 0.0
    present = ""

    def at_once(now: float) -> None:
        nonlocal begins, ends, present
        if not begins <= now < ends:
            begins, ends, present = now, (int(now * 1000) + 1) / 1000, text()
        writer.write(present)

    return at_once


def _of_each_moment(text: Callable[[str], str], writer: LogWriter) -> Callable[[float, float], None]:
    """Render a text once for all calls in a row with the same two numbers."""
    last_ms = last = -1.0
    present = ""

    def in_batch(ms: float, now: float) -> None:
        nonlocal last_ms, last, present
        if now != last or ms != last_ms:
            last_ms, last, present = ms, now, text(f"{ms:.2f}")
        writer.write(present)

    return in_batch
