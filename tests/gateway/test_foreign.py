"""Pictures that a storage provider keeps on a host of its own, and the site's own under another address."""

from __future__ import annotations

import json

import pytest

from proxy.standin.faults import json_body, redirect
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, Hours, in_share, until
from tests.harness.redis_server import RedisServer

LISTED: dict[str, object] = {"image_hosts": ["127.0.0.1"]}


@pytest.fixture
def storage(cloudreve: StandIn) -> StandIn:
    """Let the stand-in keep its pictures with a storage provider."""
    cloudreve.foreign = True
    return cloudreve


@pytest.fixture
async def listed(launcher: GatewayLauncher) -> GatewayClient:
    """Run a gateway whose configuration lists the provider's host."""
    return await launcher.open(cloudreve=LISTED)


async def test_a_listed_host_is_fetched_from_once(storage: StandIn, listed: GatewayClient) -> None:
    """The second request hits; the validator is strong, and is not the provider's own."""
    first, second = await listed.ask(in_share(storage)), await listed.ask(in_share(storage))
    assert first.status == second.status == 200
    assert second.is_hit
    assert first.body == second.body
    assert first.etag == second.etag
    assert first.etag.startswith('"')
    assert (await listed.ask(in_share(storage), etag=first.etag)).status == 304
    assert storage.calls.count("fetch") == 1


async def test_storage_below_the_sites_own_address_is_fetched_there(
    storage: StandIn, launcher: GatewayLauncher
) -> None:
    """As where nginx shows it under a path of the site; Cloudreve's internal address knows nothing of it."""
    gateway = await launcher.open(cloudreve={"public_origins": [storage.foreign_url]})
    assert (await gateway.ask(in_share(storage))).status == 200


async def test_no_credential_leaves_for_the_image_host(storage: StandIn, listed: GatewayClient) -> None:
    """Neither token nor ticket nor hint nor address goes there."""
    hint = "11111111-2222-4333-8444-555555555555"
    assert (await listed.ask(ONE, storage.token(), ticket="a-ticket", hint=hint)).status == 200
    [call] = storage.calls.of("fetch")
    assert set(call.headers) == {"host", "accept", "accept-encoding", "user-agent"}


async def test_a_renewed_grant_costs_one_conditional_request(
    storage: StandIn, listed: GatewayClient, hours: Hours
) -> None:
    """A picture that may have changed is asked about; 304 lets its bytes be used again, and once is enough."""
    first = await listed.ask(in_share(storage))
    hours.pass_by(3600)
    second = await listed.ask(in_share(storage))
    assert (await listed.ask(in_share(storage))).is_hit
    assert (second.body, second.etag) == (first.body, first.etag)
    conditional = ["if-none-match" in call.headers for call in storage.calls.of("fetch")]
    assert conditional == [False, True]
    assert listed.count("upstream_calls_total", verb="fetch", outcome="revalidated") == 1


@pytest.mark.parametrize("etags", [True, False])
async def test_a_renewed_grant_brings_what_has_changed(
    storage: StandIn, listed: GatewayClient, hours: Hours, etags: bool
) -> None:
    """Other bytes behind the same name come with another validator; the old one gives no 304."""
    storage.foreign_etags = etags
    first = await listed.ask(in_share(storage))
    storage.library.repaint(storage.library.file("/album/one.png"), paint(99, 40, 30))
    assert (await listed.ask(in_share(storage))).body == first.body
    hours.pass_by(3600)
    etag = first.headers.get("ETag", '"none"')
    second = await listed.ask(in_share(storage), etag=etag)
    assert (second.status, second.body) == (200, paint(99, 40, 30))
    third = await listed.ask(in_share(storage))
    assert (third.is_hit, third.body) == (True, second.body)
    assert third.etag != etag


async def test_each_identity_checks_a_foreign_picture_under_its_own_grant(
    storage: StandIn, listed: GatewayClient
) -> None:
    """The bytes are shared, but a second visitor does not get them unasked: they may be older than its grant."""
    first = await listed.ask(in_share(storage))
    storage.library.repaint(storage.library.file("/album/one.png"), paint(99, 40, 30))
    second = await listed.ask(in_share(storage), storage.token())
    assert (first.body != second.body, second.body) == (True, paint(99, 40, 30))
    assert (await listed.ask(in_share(storage))).body == second.body  # seen by nobody, the old ones are gone


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_foreign_picture_without_a_validator_is_fetched_once_per_grant(
    storage: StandIn, listed: GatewayClient, hours: Hours, chunked: bool
) -> None:
    """Its bytes are its version: the second request hits and can be answered with 304."""
    storage.foreign_etags, storage.foreign_chunked = False, chunked
    first = await listed.ask(in_share(storage))
    second = await listed.ask(in_share(storage))
    assert (first.body, second.is_hit) == (second.body, True)
    assert (await listed.ask(in_share(storage), etag=second.etag)).status == 304
    hours.pass_by(3600)
    assert (await listed.ask(in_share(storage), etag=second.etag)).status == 304
    assert storage.calls.count("fetch") == 2
    assert all("if-none-match" not in call.headers for call in storage.calls.of("fetch"))


async def test_a_weak_validator_serves_as_well(storage: StandIn, listed: GatewayClient, hours: Hours) -> None:
    """It is sent back as it came, and what the visitor gets is a strong one of ours."""
    storage.foreign_weak = True
    first = await listed.ask(in_share(storage))
    hours.pass_by(3600)
    second = await listed.ask(in_share(storage))
    assert first.etag == second.etag
    assert first.etag.startswith('"')
    assert storage.calls.of("fetch")[1].headers["if-none-match"].startswith('W/"')
    assert listed.count("upstream_calls_total", verb="fetch", outcome="revalidated") == 1


async def test_a_picture_one_gateway_fetched_from_a_listed_host_is_a_hit_at_the_other(
    storage: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    """The grant in Redis says which version was seen under it, so that nothing need be checked again."""
    first, second = [await launcher.open(cloudreve=LISTED, redis={"url": redis_server.url}) for _ in range(2)]
    filled, hit = await first.ask(in_share(storage)), await second.ask(in_share(storage))
    assert filled.body == hit.body
    assert filled.etag == hit.etag
    assert storage.calls.count("fetch") == 1


async def test_a_foreign_picture_of_another_gateway_is_checked_under_a_new_grant(
    storage: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    first, second = [await launcher.open(cloudreve=LISTED, redis={"url": redis_server.url}) for _ in range(2)]
    await first.ask(in_share(storage))
    await until(lambda: bool(redis_server.command("KEYS", "*:p:*")))
    storage.library.repaint(storage.library.file("/album/one.png"), paint(99, 40, 30))
    assert (await second.ask(in_share(storage), storage.token())).body == paint(99, 40, 30)


@pytest.mark.parametrize("origin", ["", "http://localhost:{port}", "http://[::1]:{port}", "http://0.0.0.0:{port}"])
async def test_a_host_that_is_not_listed_is_refused_when_it_leads_to_loopback(
    storage: StandIn, launcher: GatewayLauncher, origin: str
) -> None:
    """By address or by name, nothing is even connected to: 502, and the answer does not say what is there."""
    port = storage.foreign_url.rpartition(":")[2]
    storage.foreign_origin = origin.format(port=port)
    gateway = await launcher.open()
    reply = await gateway.ask(in_share(storage))
    assert (reply.status, reply.problem["title"]) == (502, "Bad Gateway")
    assert f":{port}" not in reply.body.decode()
    assert storage.calls.count("fetch") == 0


async def test_a_redirect_into_the_private_network_is_not_followed(storage: StandIn, launcher: GatewayLauncher) -> None:
    """Neither from the site's own address nor from a listed one; the target is never called."""
    listed = f"127.0.0.1:{storage.foreign_url.rpartition(':')[2]}"
    gateway = await launcher.open(cloudreve={"image_hosts": [listed]})
    async with StandIn(size=(40, 30)) as inside:
        secret = f"{inside.own_url}/api/v4/site/ping"
        for storage.foreign in (False, True):
            for to in (secret, secret.replace("127.0.0.1", "localhost"), "file:///etc/hostname", "//169.254.169.254/"):
                storage.fail("fetch", redirect(to), times=1)
                assert (await gateway.ask(in_share(storage))).status == 502
        assert inside.calls.all == []
    assert (await gateway.ask(in_share(storage))).status == 200  # nothing of it was stored


async def test_a_redirect_to_a_listed_host_is_followed(cloudreve: StandIn, listed: GatewayClient) -> None:
    cloudreve.foreign = True
    assert (await listed.ask(in_share(cloudreve, "two.png"))).status == 200
    [call] = cloudreve.calls.of("fetch")
    cloudreve.foreign = False
    resolved = await listed.send("GET", f"{cloudreve.own_url}/api/v4/file/thumb?uri={in_share(cloudreve, 'two.png')}")
    cloudreve.fail("fetch", redirect(json.loads(resolved.body)["data"]["url"]), times=1)
    assert call.target.startswith("/bucket/")
    assert (await listed.ask(in_share(cloudreve))).status == 200


async def test_the_sites_own_public_address_is_fetched_from_the_internal_one(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """Image URLs begin with the site URL of Cloudreve's settings, which we may be unable to reach."""
    cloudreve.site_url = "https://cloud.example.com"
    gateway = await launcher.open(cloudreve={"public_origins": ["https://cloud.example.com"]})
    reply = await gateway.ask(in_share(cloudreve))
    assert reply.status == 200
    assert cloudreve.calls.count("fetch", code=0) == 1
    cloudreve.site_url = ""
    other = await gateway.ask(in_share(cloudreve), cloudreve.token())
    assert (other.etag, cloudreve.calls.count("fetch")) == (reply.etag, 1)  # one picture, whatever the site is called


async def test_a_native_thumbnail_is_not_its_original(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Both carry one entity id; `thumb=true` alone tells them apart, and no cache entry mixes them."""
    cloudreve.native_thumbs = True
    small = await gateway.ask(in_share(cloudreve))
    [fetched] = cloudreve.calls.of("fetch")
    resolved = await gateway.send("GET", f"{cloudreve.own_url}/api/v4/file/thumb?uri={in_share(cloudreve)}")
    original = resolved.body.decode().replace("\\u0026thumb=true", "")
    cloudreve.fail("resolve", json_body(original), times=1)
    large = await gateway.ask(in_share(cloudreve, "two.png"))
    assert [call.target for call in cloudreve.calls.of("fetch")] == [fetched.target] * 2
    assert large.body != small.body
    assert large.etag != small.etag
