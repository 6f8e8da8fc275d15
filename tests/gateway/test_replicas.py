"""Two gateways on one Redis: what one has filled the other hits, and neither shows what no grant covers."""

from __future__ import annotations

import pytest

from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, Hours, in_share, kept, until
from tests.harness.redis_server import RedisServer


@pytest.fixture
async def pair(launcher: GatewayLauncher, redis_server: RedisServer) -> tuple[GatewayClient, GatewayClient]:
    redis: dict[str, object] = {"url": redis_server.url, "timeout_s": 5.0}
    return await launcher.open(redis=redis), await launcher.open(redis=redis)


async def arrived(redis_server: RedisServer, pictures: int = 1) -> None:
    """Wait until pictures have reached Redis, which visitors do not wait for."""
    await until(lambda: len(kept(redis_server, "p")) >= pictures)


def value(redis_server: RedisServer, key: str) -> bytes:
    found = redis_server.command("GET", key)
    assert isinstance(found, bytes)
    return found


async def test_an_entry_loaded_by_one_replica_is_a_hit_at_the_other(
    cloudreve: StandIn, pair: tuple[GatewayClient, GatewayClient], redis_server: RedisServer
) -> None:
    """The second gateway asks Cloudreve nothing, says where the hit came from, and next time has it at hand."""
    first, second = pair
    filled = await first.ask(in_share(cloudreve))
    await arrived(redis_server)
    hit = await second.ask(in_share(cloudreve))
    again = await second.ask(in_share(cloudreve))
    assert not filled.is_hit
    assert "detail=redis" in hit.headers["Cache-Status"]
    assert "detail=memory" in again.headers["Cache-Status"]
    assert hit.body == again.body == filled.body
    assert hit.etag == filled.etag
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 1)


async def test_a_validator_of_one_is_good_at_the_other(
    cloudreve: StandIn, pair: tuple[GatewayClient, GatewayClient]
) -> None:
    """A browser whose requests change between replicas keeps its cache; 304 needs the grant and no picture."""
    first, second = pair
    filled = await first.ask(in_share(cloudreve))
    reply = await second.ask(in_share(cloudreve), etag=filled.etag)
    assert reply.status == 304
    assert second.count("lookups_total", entry="picture", source="redis") == 0


async def test_an_entry_loaded_for_alice_is_a_miss_for_others_at_the_other_replica(
    cloudreve: StandIn, pair: tuple[GatewayClient, GatewayClient], redis_server: RedisServer
) -> None:
    """Another identity gets its own grant, or its own refusal; of hers only the bytes are reused."""
    first, second = pair
    alice = cloudreve.token("alice")
    await first.ask(ONE, alice)
    await first.ask(in_share(cloudreve), alice)
    await arrived(redis_server)
    assert (await second.ask(ONE)).status == 401
    assert (await second.ask(ONE, cloudreve.token("bob"))).status == 404
    stranger = await second.ask(in_share(cloudreve))
    assert stranger.status == 200
    assert "fwd=miss" in stranger.headers["Cache-Status"]
    assert "detail=picture-reused" in stranger.headers["Cache-Status"]
    assert cloudreve.calls.count("fetch") == 1


async def test_refusals_are_shared_for_their_seconds(
    cloudreve: StandIn, pair: tuple[GatewayClient, GatewayClient], redis_server: RedisServer
) -> None:
    """The other gateway repeats the no, code included, without asking; Redis forgets it in time."""
    first, second = pair
    uri = in_share(cloudreve, "nope.png")
    one, other = await first.ask(uri), await second.ask(uri)
    assert one.status == other.status == 404
    assert one.problem | {"request_id": ""} == other.problem | {"request_id": ""}
    assert cloudreve.calls.count("resolve") == 1
    [key] = kept(redis_server, "g")
    assert 0 < int(str(redis_server.command("PTTL", key))) <= 5000


async def test_a_refusal_read_from_redis_is_not_kept_any_longer_for_it(
    cloudreve: StandIn, pair: tuple[GatewayClient, GatewayClient], redis_server: RedisServer
) -> None:
    """When its seconds in Redis are over, the gateway that read it there asks anew."""
    first, second = pair
    uri = in_share(cloudreve, "nope.png")
    await first.ask(uri)
    await second.ask(uri)
    redis_server.command("FLUSHALL")  # its time has come
    await second.ask(uri)
    assert cloudreve.calls.count("resolve") == 2


async def test_a_grant_that_ran_out_is_not_served_though_redis_still_holds_it(
    cloudreve: StandIn, pair: tuple[GatewayClient, GatewayClient], hours: Hours, redis_server: RedisServer
) -> None:
    """Neither from memory nor from Redis: each time Cloudreve is asked again, and only the bytes are reused."""
    first, second = pair
    cloudreve.url_life_s = 100
    uri = in_share(cloudreve)
    before = await first.ask(uri)
    await arrived(redis_server)
    hours.pass_by(91)  # the last ten seconds of a grant do not count
    assert len(kept(redis_server, "g")) == 1
    renewed = await second.ask(uri)
    assert "detail=picture-reused" in renewed.headers["Cache-Status"]
    assert (renewed.body, renewed.etag) == (before.body, before.etag)
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (2, 1)
    assert (await first.ask(uri)).is_hit  # what the other has renewed


async def test_a_grant_that_ran_out_shows_nothing_while_cloudreve_is_away(
    cloudreve: StandIn, pair: tuple[GatewayClient, GatewayClient], hours: Hours, redis_server: RedisServer
) -> None:
    """With bytes and grant in both tiers, but the grant over, the answer is 503 and never the picture."""
    first, second = pair
    cloudreve.url_life_s = 100
    await first.ask(in_share(cloudreve))
    await arrived(redis_server)
    await cloudreve.stop()
    assert (await second.ask(in_share(cloudreve))).status == 200
    hours.pass_by(91)
    for gateway in pair:
        assert (await gateway.ask(in_share(cloudreve))).status == 503


async def test_bytes_are_kept_once_and_keys_show_nothing(
    cloudreve: StandIn, pair: tuple[GatewayClient, GatewayClient], redis_server: RedisServer
) -> None:
    """Five identities share one picture; no key holds a URI, a password or a token, and each has a time to live."""
    tokens = cloudreve.token("alice"), cloudreve.token("bob")
    uri = f"cloudreve://{cloudreve.library.private_share.id}:pw123@share/one.png"
    for gateway in pair:
        for token in (*tokens, None):
            assert (await gateway.ask(uri, token)).status == 200
        assert (await gateway.ask(uri, ticket="first-ticket")).status == 200
    await arrived(redis_server)
    assert (len(kept(redis_server, "p")), len(kept(redis_server, "g"))) == (1, 4)
    for key in kept(redis_server):
        assert int(str(redis_server.command("PTTL", key))) > 0
        held = key.encode() + value(redis_server, key)
        for secret in (*tokens, "first-ticket", "pw123", "cloudreve://", "alice", cloudreve.library.alice.id + "@"):
            assert secret.encode() not in held


async def test_a_gateway_of_another_site_shares_nothing(
    cloudreve: StandIn, pair: tuple[GatewayClient, GatewayClient], redis_server: RedisServer
) -> None:
    """Two sites may use one Redis: equal File URIs and user ids mean other files there."""
    first, _ = pair
    async with StandIn(size=(40, 30)) as other_site, GatewayLauncher(other_site) as other_launcher:
        stranger = await other_launcher.open(redis={"url": redis_server.url})
        mine, theirs = await first.ask(in_share(cloudreve)), await stranger.ask(in_share(cloudreve))
        assert (mine.status, theirs.status) == (200, 200)
        assert other_site.calls.count("resolve") == other_site.calls.count("fetch") == 1
