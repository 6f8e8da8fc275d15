"""What the tests of the HTTP side share: a stand-in Cloudreve, and gateways in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.standin.standin import StandIn
from tests.harness.cloudreve_targets import targets
from tests.harness.gateways import Hours, House
from tests.harness.places import Place, place


@pytest.fixture
async def cloudreve() -> AsyncIterator[StandIn]:
    """Run a stand-in with small pictures."""
    async with StandIn(size=(40, 30)) as standin:
        yield standin


@pytest.fixture
async def house(cloudreve: StandIn) -> AsyncIterator[House]:
    """Give the means to start gateways with settings of one's own."""
    async with House(cloudreve) as opened:
        yield opened


@pytest.fixture
def hours(house: House) -> Hours:
    """Give the time, to be moved on."""
    return house.hours


@pytest.fixture(params=targets())
async def site(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """Give the stand-in, and a real Cloudreve when the environment names one."""
    async with place(request.param) as found:
        yield found


@pytest.fixture(autouse=True)
def narrated(caplog: pytest.LogCaptureFixture) -> Iterator[list[Any]]:
    """Give what the gateways have logged; whatever a test does to them, none of it may be an error of theirs."""
    with capture_logs() as entries:
        yield entries
    assert [entry for entry in entries if entry["log_level"] in ("error", "critical")] == []
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
