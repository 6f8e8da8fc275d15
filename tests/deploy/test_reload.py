"""A changed configuration that is taken at run time: no request is lost, and what takes a restart is said."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from yarl import URL

from proxy.standin.standin import StandIn
from proxy.workers.listen_socket import ListenSocket
from proxy.workers.reload import Reload
from proxy.workers.supervisor import Supervisor
from tests.deploy.patience import until
from tests.deploy.process import GatewayProcess
from tests.harness.gateways import in_share, settings_for
from tests.harness.sites import thumb

VISITORS = 4
PAUSE_S = 0.02
"""Between the requests of one, so that the processes that are to take over get to run."""
BEFORE, AFTER = "image/png", "image/webp"


@pytest.fixture
async def cloudreve() -> AsyncIterator[StandIn]:
    """Run a stand-in Cloudreve with pictures that WebP makes smaller."""
    async with StandIn() as standin:
        yield standin


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def write(config: Path, formats: str, disk: Path | None = None, **more: object) -> None:
    """Write the configuration: the formats of pictures, the path of a disk tier, and what else is given of [server]."""
    lines = "".join(f"{key} = {value}\n" for key, value in more.items())
    lines += f'[disk]\npath = "{disk}"\n' if disk else ""
    config.write_text(f"[pictures]\nformats = {formats}\nencode_wait_s = 10.0\n[server]\ndrain_s = 0.5\n{lines}")


@asynccontextmanager
async def serving(folder: Path, config: Path, cloudreve: StandIn, **settings: str) -> AsyncIterator[GatewayProcess]:
    """Run a gateway that keeps pictures as they are."""
    write(config, "[]")
    process = GatewayProcess(folder, cloudreve.own_url, CONFIG=str(config), **settings)
    try:
        yield await process.start()
    finally:
        process.kill()


async def post(gateway: GatewayProcess, **headers: str) -> tuple[int, str]:
    """Ask the admin port for the configuration to be read anew."""
    async with aiohttp.ClientSession() as session, session.post(f"{gateway.admin}/reload", headers=headers) as answer:
        return answer.status, await answer.text()


class Visitors:
    """Ask for a picture again and again, some over one connection and some over a new one each time."""

    def __init__(self, gateway: GatewayProcess, uri: str) -> None:
        self.seen: Counter[str] = Counter()
        self._where = URL(gateway.base + thumb(uri), encoded=True)
        self._is_over = False

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._visit(is_new=number % 2 == 0)) for number in range(VISITORS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def _visit(self, *, is_new: bool) -> None:
        connector = aiohttp.TCPConnector(force_close=is_new)
        async with aiohttp.ClientSession(connector=connector) as session:
            while not self._is_over:
                self.seen[await self._ask(session)] += 1
                await asyncio.sleep(PAUSE_S)

    async def _ask(self, session: aiohttp.ClientSession) -> str:
        try:
            async with session.get(self._where, headers={"Accept": "image/webp"}) as answer:
                await answer.read()
                return answer.content_type
        except aiohttp.ClientError as error:
            return type(error).__name__


def by_signal(gateway: GatewayProcess) -> None:
    """Ask as `systemctl reload` does."""
    os.kill(gateway.pid, signal.SIGHUP)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_no_request_is_lost(workers: str, tmp_path: Path, config: Path, cloudreve: StandIn) -> None:
    """While one configuration goes and another comes, twice; the process that was started stays."""
    async with serving(tmp_path, config, cloudreve, SERVER__WORKERS=workers) as gateway:
        pid, first = gateway.pid, set(gateway.children())
        async with Visitors(gateway, in_share(cloudreve)) as visitors:
            await until(lambda: _has(visitors, BEFORE))
            write(config, '["webp"]')
            by_signal(gateway)
            await until(lambda: _has(visitors, AFTER))
            second = set(gateway.children()) - first
            await until(lambda: _are_only(gateway, second))
            visitors.seen.clear()
            await until(lambda: _has(visitors, AFTER))
            assert visitors.seen.keys() == {AFTER}
            write(config, "[]")
            assert (await post(gateway))[0] == 202
            await until(lambda: _has(visitors, BEFORE))
            await until(lambda: _are_only(gateway, set(gateway.children()) - second))
        assert visitors.seen.keys() == {BEFORE, AFTER}
        assert gateway.pid == pid
        assert len(gateway.children()) == int(workers)
        assert (await gateway.ask("/readyz"))[0] == 200


async def test_the_number_of_workers_may_change(tmp_path: Path, config: Path, cloudreve: StandIn) -> None:
    async with serving(tmp_path, config, cloudreve) as gateway:
        write(config, "[]", workers=2)
        assert await post(gateway) == (202, "reloading\n")
        await until(lambda: _has_children(gateway, 2))


async def test_a_purge_reaches_workers_with_another_disk(tmp_path: Path, config: Path, cloudreve: StandIn) -> None:
    async with serving(tmp_path, config, cloudreve, SERVER__WORKERS="2") as gateway:
        first = set(gateway.children())
        write(config, "[]", disk=tmp_path / "another")
        assert (await post(gateway))[0] == 202
        await until(lambda: _is_told(gateway, "reloaded"))
        await until(lambda: _are_only(gateway, set(gateway.children()) - first))
        await until(lambda: _are_purged(gateway, 2))


async def test_reloads_in_a_row_wait_for_those_who_finish(tmp_path: Path, config: Path, cloudreve: StandIn) -> None:
    """No more than two sets of workers are there at a time, and no request is lost."""
    [uri] = cloudreve.library.gallery(1)[1]
    gate = list(cloudreve.library.files.values())[-1].gate = asyncio.Event()
    async with serving(tmp_path, config, cloudreve, SERVER__WORKERS="2") as gateway, aiohttp.ClientSession() as session:
        before = cloudreve.calls.count("resolve")
        waiting = asyncio.create_task(_status(session, gateway.base + thumb(uri)))
        await until(lambda: _is_more(lambda: cloudreve.calls.count("resolve"), before))
        assert (await post(gateway))[0] == 202
        await until(lambda: _is_told(gateway, "reloaded"))
        assert (await post(gateway))[0] == 202
        await until(
            lambda: _is_told(gateway, "reload waits until the workers of the configuration before have finished")
        )
        assert (await post(gateway))[0] == 202
        assert len(gateway.children()) == 4
        gate.set()
        assert await waiting == 200
        await until(lambda: _is_told(gateway, "reloaded", times=2))  # the two wishes are one
        await until(lambda: _has_children(gateway, 2))


async def test_a_configuration_that_cannot_be_used_changes_nothing(
    tmp_path: Path, config: Path, cloudreve: StandIn
) -> None:
    """It is told to whoever asked, and in the log after a signal."""
    async with serving(tmp_path, config, cloudreve) as gateway:
        write(config, "[webp]")
        status, told = await post(gateway)
        assert status == 422
        assert "line 2 (formats)" in told
        by_signal(gateway)
        await until(lambda: _is_told(gateway, "the configuration cannot be used; the one of before stays"))
        async with Visitors(gateway, in_share(cloudreve)) as visitors:
            await until(lambda: _has(visitors, BEFORE))


async def test_a_page_of_another_site_may_not_ask(tmp_path: Path, config: Path, cloudreve: StandIn) -> None:
    async with serving(tmp_path, config, cloudreve) as gateway:
        assert (await post(gateway, **{"Sec-Fetch-Site": "cross-site"}))[0] == 403
        assert (await post(gateway, **{"Sec-Fetch-Site": "same-origin"}))[0] == 202
        assert (await post(gateway, Origin="http://evil.example"))[0] == 403
        assert (await post(gateway, Host="evil.example:9090"))[0] == 403


async def test_a_configuration_that_does_not_serve_is_given_up() -> None:
    settings = settings_for("http://127.0.0.1:1", server={"workers": 2})
    broken = settings.model_copy(
        update={"cloudreve": settings.cloudreve.model_copy(update={"url": "no address"})}
    )  # as no configuration can be
    with closing(ListenSocket("127.0.0.1", 0)) as visitors, closing(ListenSocket("127.0.0.1", 0)) as operators:
        reload = Reload(lambda: settings, settings)
        async with Supervisor(visitors, operators, reload) as supervisor:
            assert not await supervisor.exchange(broken, asyncio.get_running_loop().create_future())


def test_only_the_ports_take_a_restart() -> None:
    """All else counts anew."""
    old = settings_for("http://127.0.0.1:1")
    new = settings_for("http://127.0.0.1:2", server={"port": 7, "workers": 3}, admin={"host": "127.0.0.9"})
    reload = Reload(lambda: new, old)
    assert reload.ask() == ["server.port", "admin.host"]


async def _has(visitors: Visitors, kind: str) -> bool:
    return visitors.seen[kind] >= VISITORS


async def _are_only(gateway: GatewayProcess, pids: set[int]) -> bool:
    return bool(pids) and set(gateway.children()) == pids


async def _has_children(gateway: GatewayProcess, number: int) -> bool:
    return len(gateway.children()) == number


async def _are_purged(gateway: GatewayProcess, processes: int) -> bool:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.admin}/purge", json={"all": True}) as answer,
    ):
        told: dict[str, Any] = await answer.json()
        return processes == int(told["processes"])


async def _status(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(URL(url, encoded=True)) as answer:
        return answer.status


async def _is_more(number: Callable[[], int], before: int) -> bool:
    return number() > before


async def _is_told(gateway: GatewayProcess, event: str, times: int = 1) -> bool:
    return [line["event"] for line in gateway.lines].count(event) == times
