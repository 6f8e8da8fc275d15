"""Load from outside: wrk, which is a package of Debian."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

_SCRIPT = """
local paths, wire = {}, {}
for path in io.lines("%(folder)s/paths") do paths[#paths + 1] = path end
local sent = 0
function init(args)
  for i, path in ipairs(paths) do wire[i] = wrk.format("GET", path) end
  math.randomseed(7)
end
if #paths > 1 then
  function request() return wire[math.random(#wire)] end
else
  function request() return wire[1] end
end
%(delay)s
function done(summary, latency)
  local out = io.open("%(folder)s/out", "w")
  local e = summary.errors
  out:write(string.format('{"requests": %%d, "us": %%d, "bytes": %%d, "bad": %%d, "p50": %%f, "p99": %%f, "p999": %%f}',
    summary.requests, summary.duration, summary.bytes, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50.0), latency:percentile(99.0), latency:percentile(99.9)))
  out:close()
end
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a load has brought."""

    requests: int
    seconds: float
    received_bytes: int
    bad: int
    """Answers other than 2xx and 3xx, and connections that failed."""
    p50_ms: float
    p99_ms: float
    p999_ms: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Load:
    """How hard, and for how long. With `delay_ms` each connection waits about that long between two requests."""

    seconds: float
    connections: int = 32
    delay_ms: int = 0

    async def put_on(self, url: str, paths: Sequence[str], headers: Mapping[str, str] | None = None) -> Measured:
        """Ask for these paths, in no order."""
        with TemporaryDirectory(prefix="thumb-proxy-load-") as folder:
            (Path(folder) / "paths").write_text("\n".join(paths))
            low, high = self.delay_ms // 2, self.delay_ms * 3 // 2
            delay = f"function delay() return math.random({low}, {high}) end" if self.delay_ms else ""
            script = Path(folder) / "script.lua"
            script.write_text(_SCRIPT % {"folder": folder, "delay": delay})
            await self._run(["-s", str(script), url], headers or {})
            told = json.loads((Path(folder) / "out").read_text())
        return Measured(
            told["requests"],
            told["us"] / 1e6,
            told["bytes"],
            told["bad"],
            *(told[name] / 1000 for name in ("p50", "p99", "p999")),
        )

    async def _run(self, words: Sequence[str], headers: Mapping[str, str]) -> None:
        program = shutil.which("wrk")
        if program is None:
            raise RuntimeError("wrk is not installed; it is a package of Debian and Ubuntu")
        fields = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
        options = ["-t", "1", "-c", str(self.connections), "-d", f"{max(1, round(self.seconds))}s"]
        process = await asyncio.create_subprocess_exec(
            program, *options, *fields, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"wrk has failed: {output.decode(errors='replace')}")
