"""wrk, which asks faster than anything in Python."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy.benchmarks.measured import Measured

_SAME = """
if #paths > 1 then
  function request() return wire[math.random(#wire)] end
end
"""
_MANY = """
local browsers = {}
for lines in io.open("%(folder)s/browsers", "rb"):read("*a"):gmatch("([^%%z]+)%%z") do
  browsers[#browsers + 1] = lines .. "\\r\\n"
end
function request() return wire[math.random(#wire)]:sub(1, -3) .. browsers[math.random(#browsers)] end
"""
_SCRIPT = """
local paths, wire = {}, {}
for path in io.lines("%(folder)s/paths") do paths[#paths + 1] = path end
function init()
  for number, path in ipairs(paths) do wire[number] = wrk.format("GET", path) end
  math.randomseed(%(seed)d)
end
%(request)s
%(delay)s
function done(summary, latency)
  local failed = summary.errors
  local told = io.open("%(folder)s/told", "w")
  told:write(string.format("[%%d, %%d, %%d, %%d, %%f, %%f, %%f]", summary.requests, summary.duration, summary.bytes,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
  told:close()
end
"""


async def put_on(
    url: str,
    paths: Sequence[str],
    headers: Mapping[str, str],
    seconds: float,
    connections: int,
    delay_ms: int,
    browsers: Sequence[str],
) -> Measured:
    """Ask for these paths at random; raise RuntimeError when wrk fails."""
    with TemporaryDirectory(prefix="thumb-proxy-load-") as folder:
        script = _script(Path(folder), paths, delay_ms, browsers)
        options = ["-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout=10s", "-s", script]
        fields = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
        await _run([*options, *fields, url + paths[0]])
        return _told(Path(folder))


def _script(folder: Path, paths: Sequence[str], delay_ms: int, browsers: Sequence[str]) -> str:
    """Write what wrk is to do."""
    (folder / "paths").write_text("\n".join(paths))
    (folder / "browsers").write_bytes("".join(f"{lines}\0" for lines in browsers).encode())
    delay = f"function delay() return math.random({delay_ms // 2}, {delay_ms * 3 // 2}) end" if delay_ms else ""
    request = _MANY % {"folder": folder} if browsers else _SAME
    seed = random.randrange(2**31)  # noqa: S311 - a run that repeats the one before asks for nothing that it has not
    values = {"folder": folder, "delay": delay, "request": request, "seed": seed}
    (folder / "script.lua").write_text(_SCRIPT % values)
    return str(folder / "script.lua")


def _told(folder: Path) -> Measured:
    """Read what it has found."""
    requests, spent_us, received, bad, *latencies_us = json.loads((folder / "told").read_text())
    return Measured(requests, spent_us / 1e6, received, bad, *(latency / 1000 for latency in latencies_us))


async def _run(words: Sequence[str]) -> None:
    program = shutil.which("wrk")
    assert program is not None  # noqa: S101 - who calls has looked
    process = await asyncio.create_subprocess_exec(
        program, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"wrk has failed: {output.decode(errors='replace')}")
