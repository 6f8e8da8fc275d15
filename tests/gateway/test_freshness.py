"""How long a grant counts: by Cloudreve's clock and `expires`, whatever our clock says."""

from __future__ import annotations

import pytest

from proxy.standin.faults import json_body
from proxy.standin.standin import StandIn
from tests.harness.gateways import GatewayClient, GatewayLauncher, Hours, in_share, until

TWENTY_MINUTES_S = 1200


def up_to(seconds: int) -> range:
    """Give how many may be left: `Date` tells whole seconds only, and a busy machine takes some."""
    return range(seconds - 10, seconds + 1)


async def test_a_picture_is_fresh_for_what_is_left_of_its_grant(
    cloudreve: StandIn, gateway: GatewayClient, hours: Hours
) -> None:
    """`max-age` and the hit's `ttl` count down together; ten seconds before the end they are over."""
    cloudreve.url_life_s = 100
    first = await gateway.ask(in_share(cloudreve))
    assert first.max_age_s in up_to(90)
    hours.pass_by(50)
    second = await gateway.ask(in_share(cloudreve))
    assert second.is_hit
    assert first.max_age_s - 50 in range(second.max_age_s, second.max_age_s + 10)
    assert f"ttl={second.max_age_s};" in second.headers["Cache-Status"]


async def test_an_expired_grant_is_renewed_and_its_bytes_are_reused(
    cloudreve: StandIn, gateway: GatewayClient, hours: Hours
) -> None:
    """One resolve, no fetch, the same ETag: Cloudreve's own entities never change."""
    first = await gateway.ask(in_share(cloudreve))
    hours.pass_by(3600)
    second = await gateway.ask(in_share(cloudreve))
    assert second.headers["Cache-Status"].startswith("thumb-proxy; fwd=miss")
    assert (second.body, second.etag) == (first.body, first.etag)
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (2, 1)


async def test_a_renewed_grant_of_a_replaced_file_brings_the_new_picture(
    cloudreve: StandIn, gateway: GatewayClient, hours: Hours
) -> None:
    """Another entity is another picture, with an ETag of its own."""
    first = await gateway.ask(in_share(cloudreve))
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    hours.pass_by(3600)
    second = await gateway.ask(in_share(cloudreve), etag=first.etag)
    assert second.status == 200
    assert second.body != first.body
    assert second.etag != first.etag


async def test_a_grant_that_is_no_longer_honoured_is_asked_for_once_more(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """The file was replaced while its grant was fresh: 40077 in place of the picture, then a new grant."""
    cloudreve.native_thumbs = True
    gateway = await launcher.open(memory={"max_bytes": 8000})  # room for grants, none for the picture
    uri = in_share(cloudreve)
    first = await gateway.ask(uri)
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    second = await gateway.ask(uri)
    assert (first.status, second.status) == (200, 200)
    assert first.body != second.body
    assert [call.code for call in cloudreve.calls.of("fetch")] == [0, 40077, 0]
    assert cloudreve.calls.count("resolve") == 2


async def test_a_picture_that_failed_for_one_visitor_is_asked_for_again_for_another(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """Another's grant is older than the one that was not honoured, and the file may have been replaced since."""
    cloudreve.native_thumbs = True
    gateway = await launcher.open(memory={"max_bytes": 8000})  # room for grants, none for the picture
    uri, token = in_share(cloudreve), cloudreve.token()
    assert [(await gateway.ask(uri)).status, (await gateway.ask(uri, token)).status] == [200, 200]
    cloudreve.fail("fetch", json_body('{"code":40077}'), times=2)
    assert (await gateway.ask(uri)).status == 502
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    assert (await gateway.ask(uri, token)).status == 200


@pytest.mark.parametrize("ahead_s", [TWENTY_MINUTES_S, -TWENTY_MINUTES_S])
@pytest.mark.parametrize("obfuscated", [False, True])
async def test_clocks_that_differ_do_not_matter(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours, ahead_s: float, obfuscated: bool
) -> None:
    """Our clock is 20 minutes off: grants count exactly as long, and scrambled URLs are read by Cloudreve's clock."""
    cloudreve.obfuscated, cloudreve.url_life_s = obfuscated, 100
    gateway = await launcher.open(skew_s=ahead_s)
    first = await gateway.ask(in_share(cloudreve))
    assert first.status == 200
    assert first.max_age_s in up_to(90)
    hours.pass_by(85)
    assert (await gateway.ask(in_share(cloudreve))).is_hit
    hours.pass_by(7)
    assert not (await gateway.ask(in_share(cloudreve))).is_hit


@pytest.mark.parametrize("ahead_s", [TWENTY_MINUTES_S, -TWENTY_MINUTES_S])
async def test_a_gateway_that_started_before_cloudreve_learns_its_clock(
    cloudreve: StandIn, launcher: GatewayLauncher, ahead_s: float
) -> None:
    """Nothing was known of Cloudreve's clock when the first visitor came, and still the first grant counts right."""
    await cloudreve.stop()
    gateway = await launcher.open(skew_s=ahead_s)
    assert (await gateway.ask(in_share(cloudreve))).status == 503
    await cloudreve.start()
    await until(lambda: gateway.count("cloudreve_up"))  # it may have been away for long enough to be given up
    assert (await gateway.ask(in_share(cloudreve))).max_age_s in up_to(3590)


async def test_a_clock_that_jumps_is_followed(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Cloudreve's clock is set 20 minutes ahead while the gateway runs; from the next answer on it counts."""
    await gateway.ask(in_share(cloudreve))
    cloudreve.clock_offset_s += TWENTY_MINUTES_S
    assert (await gateway.ask(in_share(cloudreve, "two.png"))).max_age_s in up_to(3590)
    assert (await gateway.ask(in_share(cloudreve))).max_age_s in up_to(2390)


async def test_no_expiry_means_a_minute(cloudreve: StandIn, gateway: GatewayClient, hours: Hours) -> None:
    """`expires: null` is kept for the configured time and no longer."""
    cloudreve.null_expires = True
    assert (await gateway.ask(in_share(cloudreve))).max_age_s in up_to(60)
    hours.pass_by(59)
    assert (await gateway.ask(in_share(cloudreve))).is_hit
    hours.pass_by(2)
    assert not (await gateway.ask(in_share(cloudreve))).is_hit


async def test_a_grant_that_is_over_already_serves_the_request_at_hand_and_is_not_kept(
    cloudreve: StandIn, gateway: GatewayClient, hours: Hours
) -> None:
    """Sites with a link life of 0 exist: every request costs a resolve, the bytes are still reused."""
    await gateway.ask(in_share(cloudreve))
    hours.pass_by(3600)
    cloudreve.url_life_s = -1
    for resolves in (2, 3):
        reply = await gateway.ask(in_share(cloudreve))
        assert (reply.status, reply.max_age_s) == (200, 0)
        assert cloudreve.calls.count("resolve") == resolves
    assert cloudreve.calls.count("fetch") == 1


async def test_an_expired_url_is_asked_for_once_more_and_then_told(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Without the bytes at hand there is no picture: two resolves, two refused fetches, 502."""
    cloudreve.url_life_s = -1
    reply = await gateway.ask(in_share(cloudreve))
    assert (reply.status, reply.problem["title"]) == (502, "Bad Gateway")
    assert [call.code for call in cloudreve.calls.of("fetch")] == [40005, 40005]
    assert cloudreve.calls.count("resolve") == 2


async def test_a_long_life_is_cut_to_the_configured_one(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours
) -> None:
    """A share that is closed must not stay visible for as long as Cloudreve signs."""
    cloudreve.url_life_s = 86400
    gateway = await launcher.open(grants={"max_ttl_s": 300.0})
    assert (await gateway.ask(in_share(cloudreve))).max_age_s in up_to(300)
    hours.pass_by(301)
    cloudreve.library.shares.clear()
    assert (await gateway.ask(in_share(cloudreve))).status == 404


async def test_a_scrambled_url_that_nobody_can_read_is_told(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """502, and the scrambled text, which holds a signature, is not repeated."""
    cloudreve.obfuscated = True
    cloudreve.site_url = "ftp://nowhere"
    reply = await gateway.ask(in_share(cloudreve))
    assert reply.status == 502
    assert "sign" not in reply.body.decode()
