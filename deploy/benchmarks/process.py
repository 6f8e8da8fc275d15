"""A server process: pinned to a core, watched through /proc, and ended at last."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_END_S = 10.0


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of a core that something took."""

    user_s: float
    system_s: float

    def __sub__(self, earlier: Spent) -> Spent:
        return Spent(self.user_s - earlier.user_s, self.system_s - earlier.system_s)

    def per(self, requests: int) -> Spent:
        """Tell what each of so many requests took."""
        return Spent(self.user_s / max(requests, 1), self.system_s / max(requests, 1))

    @property
    def total_s(self) -> float:
        """Both together."""
        return self.user_s + self.system_s


class Process:
    """One server and its children; `core` is where it runs, standard error goes to `log`."""

    def __init__(self, words: Iterable[str], core: int, log: Path, env: Mapping[str, str] | None = None) -> None:
        self._words = ["taskset", "-c", str(core), *words]
        self._log = log
        self._env = {**os.environ, **(env or {})}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; who needs to know when it answers asks it."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._words,
                env=self._env,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )

    async def first_line(self) -> bytes:
        """Read what it says first; raise RuntimeError when it ends without a word."""
        assert self._process is not None  # noqa: S101 - it has been started
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._words[3]} has ended: {self._log.read_text()[-2000:]}")
        return line

    async def stop(self) -> None:
        """Let it leave, and end it when it does not."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _END_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def check(self) -> None:
        """Raise RuntimeError, with what it said at last, when it has failed."""
        if self._process is not None and self._process.returncode not in (None, 0):
            said = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self._log.stem} has ended with {self._process.returncode}: {said}")

    @property
    def spent(self) -> Spent:
        """Tell what it and its children have taken so far."""
        fields = [(Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split() for pid in self._pids]
        return Spent(sum(int(f[11]) for f in fields) * _TICK_S, sum(int(f[12]) for f in fields) * _TICK_S)

    @property
    def memory_bytes(self) -> int:
        """Tell how much memory it has of its own, its children not counted."""
        text = (Path("/proc") / str(self._pids[0]) / "smaps_rollup").read_text()
        return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Private_"))

    @property
    def descriptors(self) -> int:
        """Count its open file descriptors."""
        return len(list((Path("/proc") / str(self._pids[0]) / "fd").iterdir()))

    @property
    def _pids(self) -> list[int]:
        assert self._process is not None  # noqa: S101 - it has been started
        pid = self._process.pid
        children = (Path("/proc") / str(pid) / "task" / str(pid) / "children").read_text()
        return [pid, *map(int, children.split())]
