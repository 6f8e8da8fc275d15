"""A gateway in processes of its own, as an operator runs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp

from tests.deploy.patience import LONGEST_S, until
from tests.harness.redis_server import free_port

PROGRAM = Path(sys.executable).with_name("thumb-proxy")


class GatewayProcess:
    """`thumb-proxy serve` in front of a Cloudreve; `settings` are environment variables without their prefix."""

    def __init__(self, folder: Path, cloudreve_url: str, **settings: str) -> None:
        self.port = free_port()
        self.admin_port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.admin = f"http://127.0.0.1:{self.admin_port}"
        self._log = folder / f"gateway-{self.port}.log"
        self._settings = {
            "SERVER__HOST": "127.0.0.1",
            "SERVER__DRAIN_S": "0",
            "SERVER__PORT": str(self.port),
            "ADMIN__PORT": str(self.admin_port),
            "CLOUDREVE__URL": cloudreve_url,
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Name the process that was started."""
        assert self._process is not None
        return self._process.pid

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Give its log so far; each line is whole, whoever wrote it."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def children(self) -> list[int]:
        """Name its workers, oldest first."""
        tasks = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in tasks if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    async def start(self) -> GatewayProcess:
        """Start it, and wait until it says that it is ready."""
        self.launch()
        await self.is_ready()
        return self

    def launch(self) -> None:
        """Start it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("THUMB_PROXY_")}
        given = {f"THUMB_PROXY_{name}": value for name, value in self._settings.items()}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([str(PROGRAM), "serve"], env=inherited | given, stderr=log)  # noqa: S603

    def misconfigure(self) -> None:
        """Let it not start again."""
        self._settings["SERVER__PORT"] = "no port"

    async def is_ready(self) -> None:
        """Wait until it may take traffic."""

        async def is_ready() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()
            return (await self.ask("/readyz"))[0] == 200

        await until(is_ready)

    async def ask(self, path: str) -> tuple[int, str]:
        """Ask its admin port; status 0 when nobody answers."""
        try:
            async with aiohttp.ClientSession() as session, session.get(self.admin + path) as response:
                return response.status, await response.text()
        except aiohttp.ClientConnectionError:
            return 0, ""

    def send(self, number: signal.Signals) -> None:
        """Send the process that was started a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, and give its exit code."""
        self.send(number)
        return await asyncio.to_thread(self.wait)

    def wait(self) -> int:
        """Wait for its end; give its exit code."""
        assert self._process is not None
        return self._process.wait(LONGEST_S)

    def kill(self) -> None:
        """End it at once if it is still there."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(LONGEST_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
