"""The gateway as a process of its own, started the way an operator starts it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

_MAIN = "from proxy.cli import main; main()"
_FREE_PORTS = {
    "SERVER__HOST": "127.0.0.1",
    "SERVER__PORT": "0",
    "ADMIN__PORT": "0",
    "LOG__LEVEL": "debug",
    "SERVER__DRAIN_S": "0",
}


@dataclass
class Program:
    """A running `thumb-proxy serve`, and what it has written so far."""

    process: asyncio.subprocess.Process
    written: list[str] = field(default_factory=list)
    port: int = 0
    admin_port: int = 0

    async def says(self, event: str) -> dict[str, Any]:
        """Read its log until a line tells of this event."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.written.append(line.decode())
            told: dict[str, Any] = json.loads(line)
            if told["event"] == event:
                return told
        raise AssertionError(f"it ended without saying {event!r}: {self.written}")

    def ask_to_leave(self) -> None:
        """Send what a service manager sends."""
        self.process.send_signal(signal.SIGTERM)

    async def end(self) -> int:
        """Wait for its end, reading what it still has to say; give the exit code."""
        out, said = await self.process.communicate()
        self.written += (out + said).decode().splitlines(keepends=True)
        return await self.process.wait()

    @property
    def log(self) -> str:
        """All that it has written."""
        return "".join(self.written)


@asynccontextmanager
async def serving(cloudreve: str, **settings: str) -> AsyncIterator[Program]:
    """Run one in front of a Cloudreve; settings are named as in the environment, without the prefix."""
    given = {"CLOUDREVE__URL": cloudreve, "WATCH__MAX_SUBSCRIPTIONS": "0", **_FREE_PORTS, **settings}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THUMB_PROXY_")}
    environment |= {f"THUMB_PROXY_{name}": value for name, value in given.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _MAIN, "serve", env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    program = Program(process)
    try:
        told = await program.says("serving")
        program.port, program.admin_port = told["port"], told["admin_port"]
        yield program
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await program.end()  # to the ends of its pipes, whoever has ended it
