"""A log line that is written very often: the parts that never change are rendered once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import structlog

from proxy.observe.log import LogOutput
from proxy.observe.log_writer import LogWriter
from proxy.observe.timestamp import SOME_TIME

_SOME_MS = 123456.75


class Refrain(NamedTuple):
    """Writes one event at level info again and again; structlog is slower."""

    at_once: Callable[[float], object]
    """Given the Unix time in seconds: says that it took no time."""
    after: Callable[[float], object]
    """Given the milliseconds that it took."""


def refrain(logger: str, event: str, **fields: str | int | None) -> Refrain:
    """Make the functions that write this event."""
    log, config = structlog.get_logger(logger).bind(), structlog.get_config()
    lines = config["logger_factory"](logger)

    def plainly(ms: float) -> None:
        log.info(event, **fields, ms=round(ms, 2))

    if not isinstance(lines, LogOutput) or not log.is_enabled_for(logging.INFO):
        return Refrain(lambda _: plainly(0.0), plainly)
    line: Any = {"event": event, "time": SOME_TIME, **fields, "ms": _SOME_MS}
    for process in config["processors"]:
        line = process(lines, "info", line)
    before, _, rest = line.partition(SOME_TIME)
    between, _, end = rest.rpartition(str(_SOME_MS))
    stamp, writer = lines.stamp, lines.writer

    def after(ms: float) -> None:
        if writer.dropped:  # every line says so
            plainly(ms)
        else:
            writer.write(f"{before}{stamp()}{between}{ms:.2f}{end}")

    return Refrain(_of_each_ms(lambda: f"{before}{stamp()}{between}0.0{end}", plainly, writer), after)


def _of_each_ms(
    text: Callable[[], str], plainly: Callable[[float], None], writer: LogWriter
) -> Callable[[float], None]:
    """Write a text that is the same throughout a millisecond."""
    begins = ends = 0.0
    present = ""

    def at_once(now: float) -> None:
        nonlocal begins, ends, present
        if not begins <= now < ends:
            if writer.dropped:  # every line says so
                plainly(0.0)
                return
            begins, ends, present = now, (int(now * 1000) + 1) / 1000, text()
        writer.write(present)

    return at_once
