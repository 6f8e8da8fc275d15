"""The operators' view of several workers."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from aiohttp.test_utils import TestClient, TestServer

from proxy.admin.status import Report
from proxy.observe.metrics import Metrics
from proxy.settings import CloudreveSettings, Settings
from proxy.workers.admin_port import AdminPort

SETTINGS = Settings(cloudreve=CloudreveSettings(url="http://127.0.0.1:5212"))
READY = Report(is_ready=True)


async def ask(reports: Mapping[int, Report | None], path: str) -> tuple[int, str]:
    """Ask for a page while the workers are like this."""

    async def roll() -> Mapping[int, Report | None]:
        return reports

    async with (
        TestClient(TestServer(AdminPort(roll, lambda: SETTINGS).application())) as client,
        client.get(path) as response,
    ):
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("reports", "status", "told"),
    [
        ({1: READY, 2: READY}, 200, "ready\n"),
        ({1: READY, 2: None}, 503, "worker 2 is not ready\n"),
        ({1: Report(is_ready=False), 2: None}, 503, "worker 1 is not ready\nworker 2 is not ready\n"),
        (
            {1: Report(is_ready=True, troubles=("publish 1 fails: no token",)), 2: READY},
            200,
            "ready\npublish 1 fails: no token\n",
        ),
    ],
)
async def test_all_are_ready_or_none(reports: Mapping[int, Report | None], status: int, told: str) -> None:
    """With what an operator should look after, each trouble once."""
    assert await ask(reports, "/readyz") == (status, told)


async def test_the_parent_is_alive_whoever_else_is() -> None:
    """Restarting it would help nobody."""
    assert await ask({1: None}, "/healthz") == (200, "alive\n")


async def test_metrics_of_those_who_answer() -> None:
    metrics = Metrics()
    metrics.request("hit", 0.1, 1)
    status, told = await ask({1: None, 2: Report(is_ready=True, metrics=metrics.exposition())}, "/metrics")
    assert status == 200
    assert 'thumb_proxy_requests_total{outcome="hit",worker="2"} 1.0' in told
    assert 'worker="1"' not in told
