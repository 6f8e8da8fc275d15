"""Pages of other sites, and the picture in place of an error."""

from __future__ import annotations

from pathlib import Path

from proxy.http.embedding_rule import VARY
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, in_share, statuses

BLOG = "https://blog.example.org"
FOREIGN = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image", "Referer": f"{BLOG}/post"}
GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"


async def test_private_pictures_stay_on_their_site(launcher: GatewayLauncher, cloudreve: StandIn) -> None:
    """For another site's page there is none, and what the same site gets says so to browsers."""
    gateway, token = await launcher.open(server={"public_origin": "https://thumbs.example.com"}), cloudreve.token()
    near, far = await gateway.ask(ONE, token), await gateway.ask(ONE, token, **FOREIGN)
    assert statuses([near, far]) == [200, 403]
    assert BLOG in far.problem["detail"]
    assert "embed.private_origins" in far.problem["detail"]
    assert near.headers["Cross-Origin-Resource-Policy"] == "same-site"
    assert "Access-Control-Allow-Origin" not in near.headers


async def test_public_pictures_may_be_shown_everywhere(gateway: GatewayClient, cloudreve: StandIn) -> None:
    reply = await gateway.ask(in_share(cloudreve), **FOREIGN, Origin=BLOG)
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    assert reply.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


async def test_a_listed_site_may_show_private_pictures(launcher: GatewayLauncher, cloudreve: StandIn) -> None:
    """By name; the answer varies by it, beside all else that it varies by."""
    gateway = await launcher.open(embed={"private_origins": [BLOG]})
    reply = await gateway.ask(ONE, cloudreve.token(), **FOREIGN, Origin=BLOG)
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == BLOG
    [varied] = reply.headers.getall("Vary")  # type: ignore[attr-defined]
    assert varied == f"Authorization, X-Cr-Purchase-Ticket, Cookie, Accept, {VARY}"


async def test_a_preflight_allows_the_token_to_scripts_of_listed_sites_only(launcher: GatewayLauncher) -> None:
    """A preflight opens the way for listed sites only; others may read what everybody may, without a token."""
    gateway = await launcher.open(embed={"private_origins": [BLOG]})
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    near = await gateway.send("OPTIONS", "/thumb", {**asked, "Origin": BLOG})
    far = await gateway.send("OPTIONS", "/thumb", {**asked, "Origin": "https://evil.example"})
    assert statuses([near, far]) == [204, 204]
    assert "Authorization" in near.headers["Access-Control-Allow-Headers"]
    assert far.headers["Access-Control-Allow-Origin"] == "*"
    assert "Authorization" not in far.headers["Access-Control-Allow-Headers"]


async def test_a_fallback_is_shown_with_the_true_status(launcher: GatewayLauncher, tmp_path: Path) -> None:
    file = tmp_path / "fallback.gif"
    file.write_bytes(GIF)
    gateway = await launcher.open(embed={"fallback": str(file)})
    shown = await gateway.ask(ONE, Sec_Fetch_Dest="image")
    assert (shown.status, shown.body, shown.headers["Content-Type"]) == (401, GIF, "image/gif")
    assert shown.headers["Cache-Control"] == "no-store"
    assert (await gateway.ask(ONE)).problem["status"] == 401


async def test_equal_requests_of_other_sites_are_equal_on_the_hit_path(
    gateway: GatewayClient, cloudreve: StandIn
) -> None:
    """A refusal stays one when the picture is at hand, and the other way round."""
    token = cloudreve.token()
    replies = [await gateway.ask(ONE, token, **headers) for headers in ({}, FOREIGN, {}, FOREIGN, {}, FOREIGN)]
    assert statuses(replies) == [200, 403] * 3
