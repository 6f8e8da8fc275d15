"""The log: one JSON object or console line per event on stderr, with nothing in it that could hold a secret.

Messages of foreign exceptions and libraries carry URLs, header lines and commands. They are left out: an exception is
told by its type and frames, a library's record by its template and place in the source.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any, TextIO

import msgspec
import structlog

from proxy.observe.log_writer import LogWriter
from proxy.observe.redaction import Told, described, place, redacted, words
from proxy.observe.timestamp import Timestamp

if TYPE_CHECKING:
    import asyncio

    from structlog.typing import EventDict, Processor

    from proxy.settings import LogSettings

_LEVELS = {"warn": "warning", "exception": "error", "msg": "info"}

_NUMBERS = frozenset({bool, int, float})


def configure(settings: LogSettings, worker: int | None = None) -> LogWriter:
    """Log to stderr what this process logs, warns of or leaves unhandled; the caller closes the writer at the end.

    One of several workers is named in each of its lines.
    """
    writer = LogWriter(_stderr_fd())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    _configure_structlog(settings, level, writer, worker)
    logging.basicConfig(level=level, handlers=[_LibraryRecords()], force=True)
    logging.getLogger("aiohttp.access").disabled = True  # it writes URLs; the gateway has a line of its own per request
    sys.unraisablehook = _on_unraisable
    threading.excepthook = _on_thread_exception
    warnings.showwarning = on_warning
    return writer


def on_loop_exception(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what an event loop could hand to nobody; the handler for `loop.set_exception_handler`."""
    message = str(context.get("message", ""))
    _log.error("unhandled in the event loop", what=words(message), exc_info=context.get("exception"))


_log = structlog.get_logger("proxy.log")


def _stderr_fd() -> int | None:
    """Return the descriptor of stderr; None if the process began without one, since 2 may be a socket then."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None


def _configure_structlog(settings: LogSettings, level: int, writer: LogWriter, worker: int | None) -> None:
    def sign(_: object, __: str, event: EventDict) -> EventDict:
        if worker is not None:
            event["worker"] = worker
        if writer.dropped:
            event["lines_dropped"] = writer.dropped
        return event

    stamp = Timestamp()
    render: Processor = as_json if settings.format == "json" else _console()
    structlog.configure(
        processors=[_shape, sign, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda name="proxy": LogOutput(name, writer, stamp),
        cache_logger_on_first_use=False,
    )


class LogOutput:
    """The receiver of structlog's rendered lines."""

    def __init__(self, name: str, writer: LogWriter, stamp: Timestamp) -> None:
        self.name = name
        self.stamp = stamp
        self.writer = writer

    def msg(self, line: str) -> None:
        """Write a line."""
        self.writer.write(line)

    debug = info = warning = error = critical = exception = log = msg


class _LibraryRecords(logging.Handler):
    """Writes the records of libraries, which use `logging`, without their arguments."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        log = structlog.get_logger(record.name)
        where = f"{place(record.pathname)}:{record.lineno}"
        if type(error).__module__ == "aiohttp.http_exceptions":  # anybody can cause it: no trace, no alarm
            log.info("malformed request", error=type(error).__name__)
        else:
            # A message without arguments may have been formatted before.
            template = str(record.msg) if record.args else None
            log.log(record.levelno, "library message", template=template, where=where, exc_info=error)


def _on_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    _log.error("exception ignored", exc_info=unraisable.exc_value)


def _on_thread_exception(args: threading.ExceptHookArgs) -> None:
    _log.error("exception in a thread", exc_info=args.exc_value)


def on_warning(
    message: Warning | str,  # noqa: ARG001 - the signature is Python's
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    """Log where a warning comes from; the handler for `warnings.showwarning`."""
    _log.warning("python warning", category=category.__name__, where=f"{place(filename)}:{lineno}")


def _shape(logger: LogOutput, level: str, event: EventDict) -> EventDict:
    """Put the fields in order and make each of them harmless."""
    error = event.pop("exc_info", None)
    if error is True or level == "exception":
        error = sys.exc_info()[1]
    shaped: Told = {"time": logger.stamp(), "level": _LEVELS.get(level, level), "logger": logger.name}
    shaped["event"] = event.pop("event")
    for name, value in event.items():
        if type(value) in _NUMBERS:
            shaped[name] = value
        elif value is not None:
            shaped[name] = redacted(value)
    return shaped | {"exception": list(described(error))} if isinstance(error, BaseException) else shaped


def as_json(_: object, __: str, event: EventDict) -> str:
    """Render a line as one JSON object."""
    return msgspec.json.encode(event).decode()


def _console() -> Processor:
    render = structlog.dev.ConsoleRenderer(colors=_is_terminal(), timestamp_key="time", sort_keys=False)

    def console(logger: LogOutput, level: str, event: EventDict) -> str:
        errors = event.pop("exception", ())
        lines = [str(render(logger, level, event))]
        for error in errors:
            lines.append(f"    {error['type']} {error.get('category', '')}{error.get('errno', '')}".rstrip())
            lines += [f"        {frame}" for frame in error["frames"]]
        return "\n".join(lines)

    return console


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
