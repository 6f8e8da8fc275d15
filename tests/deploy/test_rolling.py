"""A rolling restart of three gateways behind nginx, under load."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from yarl import URL

from proxy.standin.standin import StandIn
from tests.deploy.conftest import StartNginx
from tests.deploy.nginx import Nginx
from tests.deploy.process import GatewayProcess
from tests.deploy.visitor import Visitor
from tests.harness.gateways import in_share
from tests.harness.sites import thumb

pytestmark = [pytest.mark.needs("nginx")]

ROLLING = Path(__file__).parents[2] / "deploy" / "rolling"
VISITORS = 12
_SYSTEMCTL = """#!{python}
import socket, sys
with socket.socket(socket.AF_UNIX) as end:
    end.connect({path!r})
    end.sendall((" ".join(sys.argv[1:]) + chr(10)).encode())
    sys.exit(0 if end.recv(10) == b"done" else 1)
"""


@pytest.fixture
async def cloudreve() -> AsyncIterator[StandIn]:
    """Run a stand-in Cloudreve with small pictures."""
    async with StandIn(size=(40, 30)) as standin:
        yield standin


@pytest.fixture
async def processes(tmp_path: Path, cloudreve: StandIn) -> AsyncIterator[list[GatewayProcess]]:
    """Run three gateways in processes of their own."""
    found = [GatewayProcess(tmp_path, cloudreve.own_url, SEAL__KEYS="k" * 32) for _ in range(3)]
    try:
        await asyncio.gather(*(process.start() for process in found))
        yield found
    finally:
        for process in found:
            process.kill()


@pytest.fixture
def nginx(start_nginx: StartNginx, processes: list[GatewayProcess], cloudreve: StandIn) -> Nginx:
    return start_nginx([process.port for process in processes], int(cloudreve.own_url.rpartition(":")[2]))


@dataclass
class Load:
    """Visitors who ask for everything that gateways answer, one thing after the other, and count what they are told."""

    visitor: Visitor
    token: dict[str, str]
    targets: list[tuple[str, str, bool]]
    told: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let them ask until the block ends."""
        over = asyncio.Event()
        asking = [asyncio.create_task(self._ask(over, number)) for number in range(VISITORS)]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*asking)

    async def _ask(self, over: asyncio.Event, number: int) -> None:
        loop = asyncio.get_running_loop()
        while not over.is_set():
            number += 1
            method, target, is_somebody = self.targets[number % len(self.targets)]
            started = loop.time()
            try:
                got = await self.visitor.send(method, target, self.token if is_somebody else None)
                self.told[str(got.status)] += 1
            except aiohttp.ClientError as error:
                self.told[type(error).__name__] += 1
            self.slowest_s = max(self.slowest_s, loop.time() - started)


@pytest.fixture
async def load(cloudreve: StandIn, nginx: Nginx, visitor: Visitor) -> Load:
    """Give visitors with a token, a gallery, and sealed URLs."""
    token = {"Authorization": f"Bearer {cloudreve.token()}"}
    pictures = [thumb(uri) for uri in (*cloudreve.library.gallery(12)[1], in_share(cloudreve))]
    told = json.loads((await visitor.get(f"/api/v4/file{pictures[0]}", token)).body)
    sealed = URL(told["data"]["url"]).raw_path
    targets = [("GET", target, True) for target in pictures]
    targets += [("GET", f"{target}&x={number}", False) for number, target in enumerate(pictures)]
    targets += [("GET", f"/api/v4/file{target}", True) for target in pictures]
    targets += [("HEAD", pictures[0], True), ("GET", sealed, False), ("POST", "/session", True)]
    return Load(visitor, token, targets)


@asynccontextmanager
async def units(folder: Path, processes: list[GatewayProcess]) -> AsyncIterator[dict[str, str]]:
    """Stand in for systemd; gives the environment in which `systemctl restart thumb-proxy@PORT` does it."""
    restarted: list[str] = []

    async def restart(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order = (await reader.readline()).decode().strip()
        restarted.append(order)
        [process] = [process for process in processes if order == f"restart thumb-proxy@{process.port}"]
        assert await process.stop() == 0
        process.launch()
        writer.write(b"done")
        writer.close()

    program = folder / "systemctl"
    program.write_text(_SYSTEMCTL.format(python=sys.executable, path=str(folder / "socket")))
    program.chmod(0o755)
    async with await asyncio.start_unix_server(restart, folder / "socket"):
        yield {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "ROLLING_PAUSE_S": "2.5"}
    assert len(restarted) == len(set(restarted))


async def roll(processes: list[GatewayProcess], environment: dict[str, str]) -> tuple[int, str]:
    ports = [str(process.port) for process in processes]
    running = await asyncio.create_subprocess_exec(
        ROLLING, "systemd", *ports, env=environment, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await running.communicate()
    return running.returncode or 0, told.decode()


async def test_no_request_is_lost(tmp_path: Path, processes: list[GatewayProcess], load: Load) -> None:
    """Every answer is what was asked for, whoever gives it; all three gateways are new at the end."""
    before = [process.pid for process in processes]
    async with units(tmp_path, processes) as environment, load.running():
        code, told = await roll(processes, environment)
    assert code == 0, told
    assert not {process.pid for process in processes} & set(before)
    assert load.told.keys() == {"200"}
    assert load.told["200"] > 500


async def test_a_roll_stops_at_the_first_that_does_not_come_back(
    tmp_path: Path, processes: list[GatewayProcess], load: Load
) -> None:
    before = [process.pid for process in processes]
    processes[0].misconfigure()
    async with units(tmp_path, processes) as environment, load.running():
        code, told = await roll(processes, environment | {"ROLLING_READY_S": "2"})
    assert code == 1
    assert told.splitlines()[-1].endswith("those after it have not been touched")
    assert [process.pid for process in processes][1:] == before[1:]
    assert load.told.keys() == {"200"}


async def test_with_compose_each_service_is_replaced_and_waited_for(tmp_path: Path) -> None:
    """One after the other, by a command that ends when the new one is healthy; the first that does not is the last."""
    program = tmp_path / "docker"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/told\ncase "$*" in *gateway-2) exit 1 ;; esac\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "ROLLING_PAUSE_S": "0"}
    running = await asyncio.create_subprocess_exec(
        ROLLING, "compose", "gateway-1", "gateway-2", "gateway-3", env=environment, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await running.communicate()
    assert running.returncode == 1
    assert b"gateway-1 is ready" in told
    orders = (tmp_path / "told").read_text().splitlines()
    options = "up --detach --no-deps --force-recreate --wait --wait-timeout 60"
    assert [order.partition("compose.yaml ")[2] for order in orders] == [f"{options} gateway-1", f"{options} gateway-2"]
