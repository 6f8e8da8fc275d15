"""A log line that is written very often: the parts that never change are rendered once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import structlog

from proxy.observe.log import LogOutput
from proxy.observe.timestamp import SOME_TIME

_SOME_MS = 123456.75


def refrain(logger: str, event: str, **fields: str | int | None) -> Callable[[float], object]:
    """Return a function that logs this event at level info with the milliseconds it is given; structlog is slower."""
    log, config = structlog.get_logger(logger).bind(), structlog.get_config()
    lines = config["logger_factory"](logger)
    if not isinstance(lines, LogOutput) or not log.is_enabled_for(logging.INFO):
        return lambda ms: log.info(event, **fields, ms=round(ms, 2))
    line: Any = {"event": event, "time": SOME_TIME, **fields, "ms": _SOME_MS}
    for process in config["processors"]:
        line = process(lines, "info", line)
    before, _, rest = line.partition(SOME_TIME)
    between, _, after = rest.rpartition(str(_SOME_MS))
    at_once, stamp, writer = f"{between}0.0{after}", lines.stamp, lines.writer

    def write(ms: float) -> None:
        if writer.dropped:  # every line says so
            log.info(event, **fields, ms=round(ms, 2))
        else:
            writer.write(f"{before}{stamp()}{f'{between}{ms:.2f}{after}' if ms else at_once}")

    return write
