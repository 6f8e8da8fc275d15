"""Fixtures for tests of the whole gateway: a stand-in Cloudreve, and gateways in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from structlog.processors import format_exc_info
from structlog.testing import capture_logs

from proxy.standin.standin import StandIn
from tests.harness.cloudreve_targets import targets
from tests.harness.gateways import GatewayClient, GatewayLauncher, Hours, gateway_of
from tests.harness.sites import Site, site_of


@pytest.fixture(autouse=True)
def log_entries(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """Give what the gateways have logged; whatever a test does to them, none of it may be an error of theirs."""
    with capture_logs([format_exc_info]) as entries:
        yield entries
    assert [entry for entry in entries if entry["log_level"] in ("error", "critical")] == []
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


@pytest.fixture
async def cloudreve() -> AsyncIterator[StandIn]:
    """Run a stand-in with small pictures."""
    async with StandIn(size=(40, 30)) as standin:
        yield standin


@pytest.fixture
async def launcher(cloudreve: StandIn) -> AsyncIterator[GatewayLauncher]:
    """Give the means to start gateways with settings of one's own."""
    async with GatewayLauncher(cloudreve) as opened:
        yield opened


@pytest.fixture
def hours(launcher: GatewayLauncher) -> Hours:
    """Give the time, to be moved on."""
    return launcher.hours


@pytest.fixture
async def gateway(launcher: GatewayLauncher) -> GatewayClient:
    """Run a gateway as it is by default, without Redis."""
    return await launcher.open()


@pytest.fixture(params=targets())
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """Give the stand-in, and a real Cloudreve when the environment names one."""
    async with site_of(request.param) as found:
        yield found


@pytest.fixture
async def site_gateway(site: Site) -> AsyncIterator[GatewayClient]:
    """Run a fresh gateway before it."""
    async with gateway_of(site.target.base) as opened:
        yield opened
