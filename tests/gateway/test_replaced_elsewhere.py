"""A file is replaced by a request that no gateway has seen: the first who is granted the new version tells of it."""

from __future__ import annotations

import pytest

from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, in_share, until
from tests.harness.redis_server import RedisServer


@pytest.fixture(params=["own", "foreign", "node"])
async def storage(request: pytest.FixtureRequest, cloudreve: StandIn) -> StandIn:
    """Let pictures come from Cloudreve, from a storage of its own host, or from another node."""
    cloudreve.foreign = request.param == "foreign"
    cloudreve.node = "content" if request.param == "node" else ""
    return cloudreve


@pytest.fixture
async def gateway(launcher: GatewayLauncher) -> GatewayClient:
    """Run a gateway that may fetch from them."""
    return await launcher.open(cloudreve={"image_hosts": ["127.0.0.1"]})


async def test_a_new_version_is_seen_by_all_once_one_visitor_was_granted_it(
    storage: StandIn, gateway: GatewayClient
) -> None:
    """By the owner too, whose File URI is another, and by visitors whose browsers ask with a validator."""
    holders = [(ONE, storage.token()), (in_share(storage), None)]
    before = [await gateway.ask(uri, token) for uri, token in holders * 2]
    await gateway.ask(in_share(storage, "two.png"))
    storage.library.put(storage.library.alice, "/album/one.png")
    assert (await gateway.ask(in_share(storage))).etag == before[1].etag, "nobody can know yet"
    new = await gateway.ask(in_share(storage), storage.token("bob"))
    after = [await gateway.ask(uri, token, etag=before[0].etag) for uri, token in holders]
    assert {(reply.status, reply.body) for reply in after} == {(200, new.body)}
    assert new.body != before[0].body
    assert (await gateway.ask(in_share(storage, "two.png"))).is_hit


async def test_other_replicas_hear_of_it(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    redis: dict[str, object] = {"url": redis_server.url, "timeout_s": 5.0}
    first, second = await launcher.open(redis=redis), await launcher.open(redis=redis)
    before = await first.ask(in_share(cloudreve))
    assert (await second.ask(in_share(cloudreve))).etag == before.etag
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    new = await first.ask(in_share(cloudreve), cloudreve.token("bob"))
    await until(lambda: second.count("changes_heard") == 1)
    assert (await second.ask(in_share(cloudreve))).etag == new.etag != before.etag
