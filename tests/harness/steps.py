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
from proxy.domain.seal import Sealer
from proxy.domain.ssrf import Origins
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
from proxy.upstream.cloudreve import Cloudreve
from proxy.upstream.images import Images, public_socket
from proxy.upstream.oauth import OAuth
from proxy.wiring.changes import change_feed, share_owners
from proxy.wiring.first_contact import greet
from proxy.wiring.parts import Parts
from proxy.wiring.stores import stores
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
    settings = settings_for(site.own_url, **sections)
    parts = Parts(settings, clock, metrics, Observer(metrics), Health(), stack, Countdown(settings.server.shutdown_s))
    origins = Origins(settings.cloudreve.url, settings.cloudreve.public_origins, settings.cloudreve.image_hosts)
    trusted = await parts.session()
    cloudreve = Cloudreve(trusted, clock, origins, Observer(metrics), settings.cloudreve, settings.grants)
    await greet(cloudreve, clock)
    tiers, sharing, shared_values, log, redis = await stores(parts)
    images = Images(trusted, await parts.session(socket_factory=public_socket), origins, settings.cloudreve)
    oauth = OAuth(cloudreve, Observer(metrics), settings.sign_in)
    sign_outs = await parts.sign_outs(tiers, redis)
    feed = await change_feed(parts, tiers, log, sign_outs)
    owners = await share_owners(parts, cloudreve)
    sessions = await parts.sessions(
        Sealer(["a key that is long enough for tests"]),
        oauth,
        shared_values,
        sign_outs,
        sharing,
    )
    identifier = await parts.identifier(cloudreve, sessions, await parts.accounts(oauth))
    grants = await parts.grants(cloudreve, tiers, sharing, feed, owners)
    pictures = await parts.pictures(images, tiers, sharing)
    return Steps(site, hours, clock, metrics, tiers, identifier, grants, pictures)


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
