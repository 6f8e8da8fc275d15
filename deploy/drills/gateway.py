"""The gateway in a process of its own: what it takes, what it says, and how it leaves."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

_MAIN = "import sys; from proxy.cli import main; sys.argv = ['thumb-proxy', 'serve']; main()"
POLL_S = 0.02
_START_S = 90.0
_LONGEST_S = 40.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Leaving:
    """How it has left when it was asked to."""

    code: int
    seconds: float


class Gateway:
    """`thumb-proxy serve` with settings that are environment variables without their prefix."""

    def __init__(self, cloudreve_url: str, log: Path, descriptors: int, **settings: str) -> None:
        self._log = log
        self._descriptors = descriptors
        self._settings = {
            "SERVER__HOST": "127.0.0.1",
            "SERVER__DRAIN_S": "0",
            "SERVER__PORT": "0",
            "ADMIN__PORT": "0",
            "CLOUDREVE__URL": cloudreve_url,
            **settings,
        }
        self.port = self.admin_port = 0
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, stderr: int | None = None, ports: tuple[int, int] = (0, 0)) -> None:
        """Start it, and read in its log where it listens; when the log goes elsewhere, the ports have to be given."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("THUMB_PROXY_")}
        given = self._settings | {"SERVER__PORT": str(ports[0]), "ADMIN__PORT": str(ports[1])}
        environment = inherited | {f"THUMB_PROXY_{name}": value for name, value in given.items()}
        self._launch(environment, stderr)
        async with asyncio.timeout(_START_S):
            self.port, self.admin_port = ports if stderr is not None else await self._where()
            while await self.asked("/readyz") != "ready\n":  # noqa: ASYNC110 - it cannot tell us
                await asyncio.sleep(POLL_S)

    async def asked(self, path: str) -> str:
        """Ask its admin port; nothing comes when it does not answer."""
        try:
            where = f"http://127.0.0.1:{self.admin_port}{path}"
            async with aiohttp.ClientSession() as session, session.get(where) as response:
                return await response.text()
        except aiohttp.ClientError:
            return ""

    async def counted(self, metric: str) -> float:
        """Read one of its metrics, as written with its labels."""
        lines = (await self.asked("/metrics")).splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"thumb_proxy_{metric}"))

    async def leave(self) -> Leaving:
        """Send what a service manager sends, and wait for the end."""
        assert self._process is not None  # noqa: S101 - it has been started
        started = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self._process.wait, _LONGEST_S)
        return Leaving(code, time.monotonic() - started)

    def kill(self) -> None:
        """End it at once if it is still there."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def limit_descriptors(self, most: int) -> None:
        """Let it open no more than so many, whatever it has open already."""
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (most, 20_000))

    @property
    def pid(self) -> int:
        """Name it."""
        assert self._process is not None  # noqa: S101 - it has been started
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Tell whether it is no longer there."""
        return self._process is not None and self._process.poll() is not None

    @property
    def cpu_s(self) -> float:
        """Tell what it has taken of a core so far."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S

    @property
    def memory_bytes(self) -> int:
        """Tell how much memory it has of its own."""
        lines = self._proc("smaps_rollup").splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))

    @property
    def descriptors(self) -> int:
        """Count what it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 - names are all that is wanted

    @property
    def complaints(self) -> list[str]:
        """List what it has logged as an error, and what does not belong into its log at all."""
        return [line for line in self.log.splitlines() if not _is_harmless(line)]

    @property
    def log(self) -> str:
        """All that it has logged to its file."""
        return self._log.read_text()

    def _launch(self, environment: dict[str, str], stderr: int | None) -> None:
        self._log.unlink(missing_ok=True)  # workers of one that was killed may still write to it
        with self._log.open("wb") as log:
            words = ["bash", "-c", f'ulimit -n {self._descriptors} && exec "$@"', "-", sys.executable, "-c", _MAIN]
            self._process = subprocess.Popen(words, env=environment, stderr=log if stderr is None else stderr)  # noqa: S603

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text()

    async def _where(self) -> tuple[int, int]:
        while True:
            text = self._log.read_text()
            assert not self.has_ended, text  # noqa: S101 - it would never come
            for line in text.splitlines():
                assert line.startswith("{"), text  # noqa: S101 - it says in plain words why it does not start
                told: dict[str, Any] = json.loads(line)
                if told["event"] == "serving" and "port" in told:  # each of several workers says so too
                    return told["port"], told["admin_port"]
            await asyncio.sleep(POLL_S)


def _is_harmless(line: str) -> bool:
    try:
        told: dict[str, Any] = json.loads(line)
    except ValueError:
        return False
    return told["level"] not in ("error", "critical") and "exception" not in told
