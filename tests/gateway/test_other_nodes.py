"""Pictures of another node of the site, which makes thumbnails at the image URL, and whose ETag says nothing."""

from __future__ import annotations

import pytest

from proxy.domain.keys import picture_of
from proxy.pictures.respond import REFUSED_S
from proxy.standin.faults import json_body
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.harness.gateways import GatewayClient, GatewayLauncher, Hours, in_share, statuses

FAILED = json_body('{"code":-1}')


@pytest.fixture(params=["thumb", "content"])
def node(request: pytest.FixtureRequest, cloudreve: StandIn) -> StandIn:
    cloudreve.node = request.param
    return cloudreve


@pytest.fixture
async def gateway(launcher: GatewayLauncher, monkeypatch: pytest.MonkeyPatch) -> GatewayClient:
    """Run a gateway that knows the node's host and does not pause."""
    monkeypatch.setattr("proxy.gateway.STORED_AFTER_S", (0.0,) * 5)
    return await launcher.open(cloudreve={"image_hosts": ["127.0.0.1"]})


async def test_its_pictures_are_shown_and_kept(node: StandIn, gateway: GatewayClient) -> None:
    one, two = [await gateway.ask(in_share(node, name)) for name in ("one.png", "two.png")]
    assert statuses([one, two]) == [200, 200]
    assert one.etag != two.etag
    assert (await gateway.ask(in_share(node))).is_hit


async def test_a_new_name_of_a_file_is_no_new_picture(node: StandIn, gateway: GatewayClient) -> None:
    """It stands in the URL of a content, which is fetched once for both."""
    urls = [await gateway.ask(in_share(node)) for _ in range(2)]
    assert {reply.etag for reply in urls} == {urls[0].etag}
    place = "https://node.example.com/api/v4/slave/file/content/0/dXBsb2Fkcy9h/0/"
    sign = "?sign=LbPjHdVtXcVUBCsHxfLzDqVlOJiEw6iYyvAG6SLgKqA%3D%3A1795000000"
    names = {picture_of(f"{place}{name}{sign}", internal=False).id for name in ("a.png", "b.png")}
    assert len(names) == 1
    unsigned = {picture_of(f"{place}{name}", internal=False).id for name in ("a.png", "b.png")}
    assert len(unsigned) == 2


async def test_a_changed_picture_is_shown_though_its_etag_stayed(
    node: StandIn, gateway: GatewayClient, hours: Hours
) -> None:
    """The node is not asked whether it has: it would say no."""
    first = await gateway.ask(in_share(node))
    node.library.repaint(node.library.file("/album/one.png"), paint(99, 40, 30))
    hours.pass_by(3601)
    second = await gateway.ask(in_share(node))
    assert (second.status, second.etag == first.etag) == (200, False)
    assert not any("if-none-match" in call.headers for call in node.calls.of("fetch"))


async def test_a_thumbnail_that_others_are_making_is_asked_for_again(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    cloudreve.node = "thumb"
    cloudreve.fail("fetch", FAILED, times=2)
    assert (await gateway.ask(in_share(cloudreve))).status == 200
    assert cloudreve.calls.count("fetch") == 3


async def test_a_thumbnail_that_cannot_be_made_is_a_refusal(
    cloudreve: StandIn, gateway: GatewayClient, hours: Hours
) -> None:
    """404 after a few times, and kept for seconds like others."""
    cloudreve.node = "thumb"
    cloudreve.fail("fetch", FAILED)
    replies = [await gateway.ask(in_share(cloudreve)) for _ in range(5)]
    assert statuses(replies) == [404] * 5
    assert replies[0].problem["code"] == -1
    assert cloudreve.calls.count("fetch") == 3
    cloudreve.mend()
    hours.pass_by(REFUSED_S + 1)
    assert (await gateway.ask(in_share(cloudreve))).status == 200


async def test_a_content_that_fails_is_none(cloudreve: StandIn, gateway: GatewayClient) -> None:
    cloudreve.node = "content"
    cloudreve.fail("fetch", FAILED)
    assert (await gateway.ask(in_share(cloudreve))).status == 502
