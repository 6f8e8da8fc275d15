"""The log says what happened, and nothing that could be a secret."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import ClientSession, web

from proxy.domain.errors import Unreachable
from proxy.observe import log as configuration
from proxy.observe.log_writer import LogWriter
from proxy.settings import LogSettings

SECRET = "S3CRETS3CRET"


class Log:
    """A configured log whose lines end up in a file."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = path
        self.stderr = path.open("w", encoding="utf-8")
        self._writer = LogWriter(None)
        self._monkeypatch = monkeypatch

    def configure(self, **settings: Any) -> LogWriter:  # noqa: ANN401 - passed on as is
        """Set the log up, with the file in place of stderr."""
        self.close()
        self._monkeypatch.setattr(sys, "stderr", self.stderr)
        self._writer = configuration.configure(LogSettings(**settings))
        return self._writer

    def close(self) -> None:
        """Write what is waiting."""
        self._writer.close()

    def text(self) -> str:
        """Give everything that was written."""
        self.close()
        return self._path.read_text(encoding="utf-8")

    def lines(self) -> list[dict[str, Any]]:
        """Give it as the objects of its lines."""
        return [json.loads(line) for line in self.text().splitlines()]

    def line(self) -> dict[str, Any]:
        """Give the only one."""
        (line,) = self.lines()
        return line


@pytest.fixture
def logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    """Give a log, and leave the process as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    for module, name in ((sys, "unraisablehook"), (threading, "excepthook"), (warnings, "showwarning")):
        monkeypatch.setattr(module, name, getattr(module, name))
    yield (made := Log(tmp_path / "stderr", monkeypatch))
    made.close()
    made.stderr.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("aiohttp.access").disabled = False
    structlog.reset_defaults()


def failure() -> Exception:
    """Make an exception like those of libraries: a secret in its text, and in that of its cause."""
    try:
        try:
            raise ConnectionRefusedError(111, f"cannot connect with {SECRET}")
        except OSError as cause:
            raise ValueError(f"https://cloud.example.com/?sign={SECRET}") from cause
    except ValueError as error:
        return error


def test_an_event_is_one_line_of_json(logged: Log) -> None:
    """With time, level and logger first, and without fields that hold nothing."""
    logged.configure()
    structlog.get_logger("proxy.http").info("request", status=200, ms=0.3, outcome="hit", code=None)
    line = logged.line()
    assert list(line) == ["time", "level", "logger", "event", "status", "ms", "outcome"]
    assert line | {"time": ""} == {
        "time": "",
        "level": "info",
        "logger": "proxy.http",
        "event": "request",
        "status": 200,
        "ms": 0.3,
        "outcome": "hit",
    }


def test_the_level_decides_what_is_written(logged: Log) -> None:
    logged.configure(level="warning")
    structlog.get_logger().info("no")
    logging.getLogger("library").info("no")
    structlog.get_logger().warning("yes")
    logging.getLogger("library").warning("yes")
    assert [line["event"] for line in logged.lines()] == ["yes", "library message"]


def test_a_line_cannot_be_forged(logged: Log) -> None:
    """Newlines and control characters of a visitor are escaped, in the console format as well."""
    logged.configure(format="console")
    structlog.get_logger().info("request", path="/a\n2026-01-01 [info] forged \x1b[31m")
    assert len(logged.text().splitlines()) == 1


def test_values_that_print_their_contents_are_told_by_type(logged: Log) -> None:
    """A URL, a mapping, an exception: nobody knows what is in them."""
    logged.configure()
    structlog.get_logger().info("x", a={"token": SECRET}, b=ValueError(SECRET), c=[SECRET.encode()], d=("ok", 1))
    line = logged.line()
    assert (line["a"], line["b"], line["c"], line["d"]) == ("<dict>", "<ValueError>", ["<bytes>"], ["ok", 1])


def test_an_exception_is_told_by_type_and_frames(logged: Log) -> None:
    """Never by its message; a cause is told too, and an error number of the system."""
    logged.configure()
    structlog.get_logger().error("went wrong", exc_info=failure())
    outer, cause = logged.line()["exception"]
    assert (outer["type"], cause["type"], cause["errno"]) == ("ValueError", "ConnectionRefusedError", "ECONNREFUSED")
    assert outer["frames"][0].startswith("observe/test_log.py:")
    assert outer["frames"][0].endswith(":failure")


def test_an_error_of_ours_is_told_with_its_category(logged: Log) -> None:
    logged.configure()
    structlog.get_logger().error("went wrong", exc_info=Unreachable(SECRET))
    (described,) = logged.line()["exception"]
    assert (described["type"], described["category"]) == ("proxy.domain.errors.Unreachable", "unreachable")


def test_an_exception_group_is_logged_with_its_first_members(logged: Log) -> None:
    """Up to a bound: a group may be large."""
    logged.configure()
    structlog.get_logger().error("went wrong", exc_info=ExceptionGroup(SECRET, [failure() for _ in range(20)]))
    assert [described["type"] for described in logged.line()["exception"]] == ["ExceptionGroup"] + ["ValueError"] * 4


def test_messages_of_libraries_are_withheld(logged: Log) -> None:
    """Their templates are told, for those are words of their source; what was formatted before may hold anything."""
    logged.configure()
    library = logging.getLogger("redis")
    library.warning("could not send %r", SECRET)
    library.error(f"could not send {SECRET}", exc_info=failure())  # as redis does
    first, second = logged.lines()
    assert (first["template"], first["logger"]) == ("could not send %r", "redis")
    assert "template" not in second
    assert second["where"].startswith("observe/test_log.py:")


@pytest.mark.parametrize("written", ["json", "console"])
def test_no_secret_is_logged_by_any_failure(written: str, logged: Log) -> None:
    logged.configure(format=written, level="debug")
    structlog.get_logger().error("x", exc_info=failure())
    logging.getLogger("asyncio").error(SECRET, exc_info=failure())
    logging.getLogger("aiohttp.access").info(SECRET)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = configuration.on_warning
        warnings.warn(SECRET, stacklevel=1)
    _die_in_a_thread()
    _die_in_a_finaliser()
    text = logged.text()
    assert all(event in text for event in ("exception in a thread", "exception ignored", "python warning"))
    assert SECRET not in text


def _die_in_a_thread() -> None:
    def die() -> None:
        raise failure()

    thread = threading.Thread(target=die)
    thread.start()
    thread.join()


def _die_in_a_finaliser() -> None:
    class Dying:
        def __del__(self) -> None:
            raise failure()

    Dying()


async def test_the_event_loop_tells_without_values(logged: Log) -> None:
    """A task that fails unseen; messages that were formatted are cut at the first thing that may be a value."""
    logged.configure()
    loop = asyncio.get_running_loop()
    configuration.on_loop_exception(loop, {"message": "Task exception was never retrieved", "exception": failure()})
    configuration.on_loop_exception(loop, {"message": f"Exception in callback f('{SECRET}') at web.py:1"})
    configuration.on_loop_exception(loop, {"message": f"Fatal error: {SECRET}"})
    first, second, third = logged.lines()
    assert (first["what"], first["exception"][0]["type"]) == ("Task exception was never retrieved", "ValueError")
    assert second["what"] == "Exception in callback f"
    assert SECRET not in str(third)


async def test_a_malformed_request_leaves_no_byte_of_itself(logged: Log) -> None:
    """The server puts the raw line into its exception. Nor is there a trace: anybody can send such a thing."""
    logged.configure(level="debug")
    runner = web.ServerRunner(web.Server(_answer), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    requests = (
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization Bearer %s\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\x00\r\n\r\n",
        b"GET /thumb?uri=cloudreve://a:%s@share HTTP/9.9\r\nHost: x\r\n\r\n",
        b"%s\r\n\r\n",
    )
    for request in requests:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(request % SECRET.encode())
        await reader.read()
        writer.close()
    await runner.cleanup()
    text = logged.text()
    assert text.count("malformed request") == len(requests)
    assert "frames" not in text
    assert SECRET not in text


async def test_a_handler_that_fails_leaves_no_message(logged: Log) -> None:
    logged.configure()
    runner = web.ServerRunner(web.Server(_fail), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with ClientSession() as session, session.get(f"http://{host}:{port}/?{SECRET}") as response:
        assert response.status == 500
    await runner.cleanup()
    line = logged.line()
    assert (line["logger"], line["exception"][0]["type"]) == ("aiohttp.server", "ValueError")
    assert SECRET not in str(line)


async def _answer(_: web.BaseRequest) -> web.StreamResponse:
    return web.Response()


async def _fail(_: web.BaseRequest) -> web.StreamResponse:
    raise failure()


def test_lines_that_were_lost_are_told_when_there_is_a_way_again(logged: Log) -> None:
    writer = logged.configure()
    writer._failed = 3  # noqa: SLF001 - losing lines is tested with the writer
    structlog.get_logger().info("x")
    assert logged.line()["lines_dropped"] == 3


@pytest.mark.usefixtures("logged")
def test_a_process_without_stderr_logs_nothing_and_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    writer = configuration.configure(LogSettings(format="console"))
    structlog.get_logger().info("x")
    writer.close()
    assert writer.dropped == 1
