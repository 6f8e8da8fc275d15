"""Never late: a grant that is wanted is renewed before it ends, and an outage may be bridged where that is allowed."""

from __future__ import annotations

import pytest

from proxy.standin.faults import Hang, Reset, json_body
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, Hours, in_share, kept, until
from tests.harness.redis_server import RedisServer

RENEWING: dict[str, object] = {"renew_s": 30.0}
BRIDGING: dict[str, object] = {"renew_s": 0.0, "stale_if_error_s": 600.0}


@pytest.fixture
async def renewing(launcher: GatewayLauncher, cloudreve: StandIn) -> GatewayClient:
    """Run a gateway that renews in the last fifth of 90 seconds."""
    cloudreve.url_life_s = 100
    return await launcher.open(grants=RENEWING)


@pytest.fixture
async def bridging(launcher: GatewayLauncher, cloudreve: StandIn) -> GatewayClient:
    """Run a gateway that may show what has run out for ten minutes, while Cloudreve is away."""
    cloudreve.url_life_s = 100
    return await launcher.open(grants=BRIDGING)


async def granted(gateway: GatewayClient, resolves: int) -> None:
    """Wait until a gateway has so many grants from Cloudreve."""
    await until(lambda: gateway.count("upstream_calls_total", verb="resolve", outcome="grant") == resolves)


async def test_a_grant_that_is_wanted_is_renewed_behind_its_visitors(
    cloudreve: StandIn, renewing: GatewayClient, hours: Hours
) -> None:
    """Each request hits, before the renewal, while it is under way and after it, and the grant never ends."""
    await renewing.ask(in_share(cloudreve))
    for resolves in (2, 3, 4):
        hours.pass_by(80)
        hang = Hang()
        cloudreve.fail("resolve", hang, times=1)
        for _ in range(3):
            assert (await renewing.ask(in_share(cloudreve))).is_hit
        await cloudreve.calls.arrived("resolve", resolves)
        assert (await renewing.ask(in_share(cloudreve))).is_hit
        hang.until.set()
        await cloudreve.calls.ended("resolve", resolves)
        await granted(renewing, resolves)
        assert cloudreve.calls.count("resolve") == resolves
    reply = await renewing.ask(in_share(cloudreve))
    assert (reply.is_hit, reply.max_age_s > 80, cloudreve.calls.count("fetch")) == (True, True, 1)


async def test_a_grant_that_nobody_wants_is_not_renewed(
    cloudreve: StandIn, renewing: GatewayClient, hours: Hours
) -> None:
    """It costs Cloudreve nothing to have been looked at once."""
    await renewing.ask(in_share(cloudreve))
    hours.pass_by(1000)
    await renewing.ask(in_share(cloudreve, "two.png"))
    assert cloudreve.calls.count("resolve", target=in_share(cloudreve)) == 1


@pytest.mark.parametrize("fault", [Reset(), json_body("null"), json_body('{"code":40073}')])
async def test_a_renewal_that_fails_is_nobodys_trouble(
    cloudreve: StandIn, renewing: GatewayClient, hours: Hours, fault: Reset
) -> None:
    """Hits go on until the grant ends, and then whoever asks hears the truth."""
    await renewing.ask(in_share(cloudreve))
    cloudreve.fail("resolve", fault, times=1)
    hours.pass_by(80)
    assert (await renewing.ask(in_share(cloudreve))).is_hit
    await cloudreve.calls.ended("resolve", 2)
    assert (await renewing.ask(in_share(cloudreve))).is_hit
    hours.pass_by(20)
    assert (await renewing.ask(in_share(cloudreve))).status == 200


async def test_a_renewal_that_is_refused_ends_the_showing(
    cloudreve: StandIn, renewing: GatewayClient, hours: Hours
) -> None:
    """The share was closed meanwhile: from the renewal on nobody sees it, though the old grant had seconds left."""
    await renewing.ask(in_share(cloudreve))
    share = cloudreve.library.shares.pop(cloudreve.library.share.id)
    hours.pass_by(80)
    assert (await renewing.ask(f"cloudreve://{share.id}@share/one.png")).is_hit
    await cloudreve.calls.ended("resolve", 2)
    await until(lambda: renewing.count("upstream_calls_total", verb="resolve", outcome="refusal"))
    assert (await renewing.ask(f"cloudreve://{share.id}@share/one.png")).status == 404


async def test_two_gateways_renew_a_grant_once(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, redis_server: RedisServer
) -> None:
    """The first one does it, and the other finds it in Redis when its own copy has ended."""
    cloudreve.url_life_s = 100
    gateways = [
        await launcher.open(grants=RENEWING, redis={"url": redis_server.url, "timeout_s": 5.0}) for _ in range(2)
    ]
    for gateway in gateways:
        await gateway.ask(in_share(cloudreve))
    [key] = kept(redis_server, "g:")
    old = redis_server.command("GET", key)
    hours.pass_by(80)
    assert (await gateways[0].ask(in_share(cloudreve))).is_hit
    await until(lambda: redis_server.command("GET", key) != old)
    hours.pass_by(15)
    replies = [await gateway.ask(in_share(cloudreve)) for gateway in gateways]
    assert [reply.is_hit for reply in replies] == [True, True]
    assert cloudreve.calls.count("resolve") == 2


async def test_an_outage_is_bridged_for_the_same_identity_alone(
    cloudreve: StandIn, bridging: GatewayClient, hours: Hours
) -> None:
    """A visitor who was granted it sees it, marked as stale and not to be kept; nobody else does."""
    token = cloudreve.token(life_s=7200)
    fresh = await bridging.ask(ONE, token)
    hours.pass_by(200)
    await cloudreve.stop()
    stale = await bridging.ask(ONE, token)
    assert (stale.status, stale.body, stale.max_age_s) == (200, fresh.body, 0)
    assert "; ttl=-1" in stale.headers["Cache-Status"]
    assert "detail=stale" in stale.headers["Cache-Status"]
    assert (await bridging.ask(ONE, token, etag=fresh.etag)).status == 304
    app = cloudreve.token(client="app", scopes=("Files.Read", "openid"), life_s=7200)
    for who in (None, cloudreve.token("bob", life_s=7200), app):
        assert (await bridging.ask(ONE, who)).status == 503


async def test_a_bridge_ends(cloudreve: StandIn, bridging: GatewayClient, hours: Hours) -> None:
    """Ten minutes after the grant has ended it is 503, whatever is still in memory."""
    await bridging.ask(in_share(cloudreve))
    await cloudreve.stop()
    hours.pass_by(90 + 590)
    assert (await bridging.ask(in_share(cloudreve))).status == 200
    hours.pass_by(20)
    assert (await bridging.ask(in_share(cloudreve))).status == 503


async def test_a_refusal_is_no_outage(cloudreve: StandIn, bridging: GatewayClient, hours: Hours) -> None:
    """Cloudreve is there and says no: the old grant counts for nothing, now and when Cloudreve goes away after it."""
    await bridging.ask(in_share(cloudreve))
    share = cloudreve.library.shares.pop(cloudreve.library.share.id)
    hours.pass_by(200)
    uri = f"cloudreve://{share.id}@share/one.png"
    assert (await bridging.ask(uri)).status == 404
    await cloudreve.stop()
    hours.pass_by(10)
    assert (await bridging.ask(uri)).status == 503


async def test_a_refusal_that_is_kept_for_no_time_is_no_outage_either(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours
) -> None:
    cloudreve.url_life_s = 100
    bridging = await launcher.open(grants=BRIDGING, refusals={"not_found_s": 0.0, "denied_s": 0.0})
    await bridging.ask(in_share(cloudreve))
    cloudreve.library.share.members_only = True
    hours.pass_by(200)
    assert (await bridging.ask(in_share(cloudreve))).status == 401
    await cloudreve.stop()
    assert (await bridging.ask(in_share(cloudreve))).status == 503


@pytest.mark.parametrize("denied_s", [2.0, 0.0])
async def test_a_refusal_at_one_replica_ends_the_bridge_at_all(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, redis_server: RedisServer, denied_s: float
) -> None:
    """Both have told the visitor so, whichever of them had asked, and though both had the grant in memory."""
    cloudreve.url_life_s = 100
    redis: dict[str, object] = {"url": redis_server.url, "timeout_s": 5.0}
    refusals = {"denied_s": denied_s}
    gateways = [await launcher.open(grants=BRIDGING, redis=redis, refusals=refusals) for _ in range(2)]
    for gateway in gateways:
        assert (await gateway.ask(in_share(cloudreve))).status == 200
    cloudreve.library.share.members_only = True
    hours.pass_by(200)
    assert [(await gateway.ask(in_share(cloudreve))).status for gateway in gateways] == [401, 401]
    await until(lambda: not redis_server.command("KEYS", "*:lease:*"))  # else the first would join the second's load
    await cloudreve.stop()
    hours.pass_by(10)
    for key in kept(redis_server, "g:") if denied_s else []:
        redis_server.command("DEL", key)  # Redis has a time of its own
    assert [(await gateway.ask(in_share(cloudreve))).status for gateway in gateways] == [503, 503]


@pytest.mark.parametrize("code", [-1, 50001])
async def test_a_refusal_that_may_change_in_a_moment_ends_no_grant(
    cloudreve: StandIn, renewing: GatewayClient, hours: Hours, code: int
) -> None:
    """Its database was away, say, when the grant was to be renewed."""
    await renewing.ask(in_share(cloudreve))
    hours.pass_by(80)
    cloudreve.fail("resolve", json_body(f'{{"code":{code}}}'), times=1)
    assert (await renewing.ask(in_share(cloudreve))).is_hit
    await cloudreve.calls.ended("resolve", 2)
    await until(lambda: renewing.count("upstream_calls_total", verb="resolve", outcome="refusal"))
    assert (await renewing.ask(in_share(cloudreve))).is_hit


async def test_nothing_is_bridged_by_default(cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours) -> None:
    gateway = await launcher.open()
    await gateway.ask(in_share(cloudreve))
    hours.pass_by(3600)
    await cloudreve.stop()
    assert (await gateway.ask(in_share(cloudreve))).status == 503
