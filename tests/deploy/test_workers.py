"""Several workers on one machine by one setting."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from proxy.standin.standin import StandIn
from proxy.workers.reload import Reload
from proxy.workers.supervisor import serve
from proxy.workers.worker_pool import WorkersFailed
from tests.deploy.patience import until
from tests.deploy.process import GatewayProcess
from tests.harness.gateways import ONE, in_share, settings_for
from tests.harness.sites import thumb

SOON_S = 2.0
"""After 204 a copy of the cookie counts at no worker any more."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cloudreve() -> AsyncIterator[StandIn]:
    """Run a stand-in Cloudreve with small pictures."""
    async with StandIn(size=(40, 30)) as standin:
        yield standin


@asynccontextmanager
async def running(folder: Path, cloudreve: StandIn, **settings: str) -> AsyncIterator[GatewayProcess]:
    process = GatewayProcess(folder, cloudreve.own_url, SERVER__WORKERS="2", **settings)
    try:
        yield await process.start()
    finally:
        process.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, cloudreve: StandIn) -> AsyncIterator[GatewayProcess]:
    """Give a gateway that each test leaves as it was: with two workers, both ready."""
    async with running(tmp_path_factory.mktemp("shared"), cloudreve) as process:
        yield process


@pytest_asyncio.fixture(loop_scope="module")
async def own_gateway(tmp_path: Path, cloudreve: StandIn) -> AsyncIterator[GatewayProcess]:
    """Give a gateway that the test may end."""
    async with running(tmp_path, cloudreve) as process:
        yield process


async def get(gateway: GatewayProcess, target: str) -> tuple[int, bytes]:
    """Ask over a connection of its own, so that any worker may be the one that answers."""
    async with aiohttp.ClientSession() as session, session.get(URL(gateway.base + target, encoded=True)) as response:
        return response.status, await response.read()


async def session_of(gateway: GatewayProcess, token: str) -> str:
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as session, session.post(gateway.base + "/session", headers=headers) as response:
        assert response.status == 200
        [cookie] = response.cookies.values()
        return f"{cookie.key}={cookie.value}"


async def all_asked(gateway: GatewayProcess, uri: str, cookie: str) -> set[int]:
    """Ask forty times, each over a connection of its own; give the statuses."""

    async def ask() -> int:
        where = URL(gateway.base + thumb(uri), encoded=True)
        async with aiohttp.ClientSession() as session, session.get(where, headers={"Cookie": cookie}) as response:
            return response.status

    return set(await asyncio.gather(*(ask() for _ in range(40))))


async def gone(pids: list[int]) -> None:
    """Wait until none of these processes runs any more."""

    async def are_gone() -> bool:
        return not any(_exists(pid) for pid in pids)

    await until(are_gone)


async def test_a_session_that_has_ended_at_one_worker_has_ended_at_all(
    gateway: GatewayProcess, cloudreve: StandIn
) -> None:
    cookie = await session_of(gateway, cloudreve.token())
    assert await all_asked(gateway, ONE, cookie) == {200}
    given, where = {"Cookie": cookie}, gateway.base + "/session"
    async with aiohttp.ClientSession() as session, session.delete(where, headers=given) as response:
        assert response.status == 204
    ended = time.monotonic()

    async def is_time() -> bool:
        await all_asked(gateway, ONE, cookie)  # which may show it still, and makes no worker believe it any longer
        return time.monotonic() - ended >= SOON_S

    await until(is_time)
    assert await all_asked(gateway, ONE, cookie) <= {401, 503}  # 503 of one that could not make sure in time


async def loads_once(gateway: GatewayProcess, cloudreve: StandIn) -> None:
    """Ask for a fresh picture two hundred times at once, and count what Cloudreve was asked."""
    [uri] = cloudreve.library.gallery(1)[1]
    cloudreve.calls.forget()
    answers = await asyncio.gather(*(get(gateway, thumb(uri)) for _ in range(200)))
    assert {status for status, _ in answers} == {200}
    assert len({body for _, body in answers}) == 1
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 1)


async def test_workers_without_redis_load_a_picture_once_for_all(gateway: GatewayProcess, cloudreve: StandIn) -> None:
    """They have a disk of their own for it, where none is configured."""
    await loads_once(gateway, cloudreve)


async def test_workers_of_one_disk_load_a_picture_once_for_all(tmp_path: Path, cloudreve: StandIn) -> None:
    async with running(tmp_path, cloudreve, DISK__PATH=str(tmp_path / "cache")) as gateway:
        await loads_once(gateway, cloudreve)


def requests_told(gateway: GatewayProcess) -> list[int]:
    """Name the worker of each request that the log tells of."""
    return [line["worker"] for line in gateway.lines if line["event"] == "request"]


async def test_all_workers_serve_and_one_port_tells_of_all(gateway: GatewayProcess, cloudreve: StandIn) -> None:
    """Each has metrics of its own under one roof, and its number in the lines of its log."""
    before = len(requests_told(gateway))
    answers = await asyncio.gather(*(get(gateway, thumb(in_share(cloudreve))) for _ in range(60)))
    assert {status for status, _ in answers} == {200}
    assert len({body for _, body in answers}) == 1
    _, metrics = await gateway.ask("/metrics")
    for number in ("1", "2"):
        assert f'thumb_proxy_memory_bytes{{worker="{number}"}}' in metrics

    async def are_told() -> bool:
        told = requests_told(gateway)[before:]
        return len(told) >= 60 and set(told) == {1, 2}

    await until(are_told)  # the log is written beside the requests
    assert metrics.count("# TYPE thumb_proxy_requests_total counter") == 1
    assert await gateway.ask("/healthz") == (200, "alive\n")


async def test_a_url_sealed_by_one_worker_opens_at_every_other(gateway: GatewayProcess, cloudreve: StandIn) -> None:
    """Though no key is configured: the parent has made one for all."""
    _, told = await get(gateway, f"/api/v4/file{thumb(in_share(cloudreve))}")
    sealed = URL(json.loads(told)["data"]["url"]).raw_path
    answers = await asyncio.gather(*(get(gateway, sealed) for _ in range(30)))
    assert {status for status, _ in answers} == {200}


async def test_a_worker_that_dies_is_replaced_and_missed_by_nobody(gateway: GatewayProcess, cloudreve: StandIn) -> None:
    """Others answer meanwhile; /readyz says who is missing until all are there again."""
    victim = gateway.children()[0]
    os.kill(victim, signal.SIGKILL)
    await gone([victim])
    status, told = await gateway.ask("/readyz")
    answers = [await get(gateway, thumb(in_share(cloudreve))) for _ in range(20)]
    assert {status for status, _ in answers} == {200}
    assert (status, told) in (
        (503, "worker 1 is not ready\n"),
        (503, "worker 2 is not ready\n"),
        (503, "worker 3 is not ready\n"),
    )
    await gateway.is_ready()
    assert len(gateway.children()) == 2
    [line] = [line for line in gateway.lines if line["event"] == "worker ended"]
    assert (line["exit_code"], line["level"]) == (-signal.SIGKILL, "warning")


async def test_a_hanging_worker_is_not_ready(gateway: GatewayProcess) -> None:
    victim = gateway.children()[0]
    os.kill(victim, signal.SIGSTOP)
    assert (await gateway.ask("/readyz"))[0] == 503
    os.kill(victim, signal.SIGCONT)
    await gateway.is_ready()


async def test_requests_under_way_are_finished(own_gateway: GatewayProcess, cloudreve: StandIn) -> None:
    """Asked to leave, all workers answer whom they have let in, take nobody else, and are gone with their parent."""
    workers = own_gateway.children()
    [uri] = cloudreve.library.gallery(1)[1]
    gate = list(cloudreve.library.files.values())[-1].gate = asyncio.Event()
    before = cloudreve.calls.count("resolve")
    waiting = [asyncio.create_task(get(own_gateway, thumb(uri))) for _ in range(20)]

    async def are_let_in() -> bool:
        return cloudreve.calls.count("resolve") > before

    async def is_closed() -> bool:
        return not await _is_open(own_gateway)

    await until(are_let_in)
    leaving = asyncio.create_task(own_gateway.stop())
    await until(is_closed)
    assert (await own_gateway.ask("/readyz"))[0] == 503
    gate.set()
    answers = await asyncio.gather(*waiting)
    assert {status for status, _ in answers} == {200}
    assert await leaving == 0
    await gone(workers)


async def test_workers_do_not_outlive_their_parent(own_gateway: GatewayProcess) -> None:
    """However it ends: nobody would restart them, and nobody else could have their port."""
    workers = own_gateway.children()
    await own_gateway.stop(signal.SIGKILL)
    await gone(workers)


async def test_a_second_gateway_does_not_get_the_port(gateway: GatewayProcess, tmp_path: Path) -> None:
    """It would share the first one's visitors, unnoticed."""
    second = GatewayProcess(tmp_path, "http://127.0.0.1:1", SERVER__WORKERS="2", SERVER__PORT=str(gateway.port))
    with pytest.raises(AssertionError, match="Address already in use"):
        await second.start()


async def test_workers_that_cannot_begin_end_the_command() -> None:
    """A mistake for the first is one for all: restarting them for ever would only hide it."""
    settings = settings_for("http://127.0.0.1:1", server={"workers": 2})
    broken = settings.cloudreve.model_copy(update={"url": "no address"})  # as no configuration can be
    with pytest.raises(ExceptionGroup) as failure:
        await serve(settings.model_copy(update={"cloudreve": broken}), Reload(lambda: settings, settings))
    assert failure.group_contains(WorkersFailed)


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def _is_open(gateway: GatewayProcess) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    except ConnectionError:
        return False
    writer.close()
    return True
