"""The steps of a request, built as the gateway builds them, in front of a stand-in: for tests of one step alone."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from proxy.cache.tiers import Tiers
from proxy.coalesce.deadline import Countdown
from proxy.domain.credentials import Credentials
from proxy.domain.file_uri import parse
from proxy.domain.identity import ANONYMOUS, Identity, IdentityKind
from proxy.domain.thumb_request import ThumbRequest
from proxy.domain.visitor import Visitor
from proxy.grants.lookup import Grants
from proxy.http.health import Health
from proxy.identity.identify import Identifier
from proxy.observe.metrics import Metrics
from proxy.observe.span import Observer
from proxy.pictures.lookup import Pictures
from proxy.standin.standin import StandIn
from proxy.upstream.clock import Clock
from proxy.wiring.core import core_of
from proxy.wiring.parts import Parts
from tests.harness.gateways import Hours, settings_for


@dataclass(frozen=True)
class Steps:
    """Identify, grant, picture; and what they stand on."""

    site: StandIn
    hours: Hours
    clock: Clock
    metrics: Metrics
    tiers: Tiers
    identifier: Identifier
    grants: Grants
    pictures: Pictures

    def visitor(self, name: str = "") -> Visitor:
        """Give a visitor who has been named already: alice, bob, or nobody."""
        if not name:
            return Visitor(ANONYMOUS, Credentials(), math.inf)
        account = next(account for account in self.site.library.accounts if account.name == name)
        return Visitor(Identity(IdentityKind.USER, account.id), Credentials(self.site.token(name)), math.inf)

    def request(self, name: str = "one.png") -> ThumbRequest:
        """Ask for a picture of the public album."""
        return ThumbRequest(parse(f"cloudreve://{self.site.library.share.id}@share/{name}", 4096))


async def steps(site: StandIn, stack: AsyncExitStack, **sections: dict[str, object]) -> Steps:
    """Build them, to be closed with the stack."""
    hours, metrics = Hours(site), Metrics()
    clock = Clock(hours.now, hours.timer)
    settings = settings_for(site.own_url, **{"seal": {"keys": ["a key that is long enough for tests"]}, **sections})
    core = await core_of(
        Parts(settings, clock, metrics, Observer(metrics), Health(), stack, Countdown(settings.server.shutdown_s))
    )
    return Steps(site, hours, clock, metrics, core.stores.tiers, core.identifier, core.grants, core.pictures)


@pytest.fixture
async def site() -> AsyncIterator[StandIn]:
    """Run a stand-in."""
    async with StandIn(size=(40, 30)) as standin:
        yield standin


@pytest.fixture
async def taken(site: StandIn) -> AsyncIterator[Steps]:
    """Build the steps."""
    async with AsyncExitStack() as stack:
        yield await steps(site, stack)
