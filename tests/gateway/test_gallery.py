"""Five viewers open a fresh gallery together: the scene in which Cloudreve alone loses 135 of 200 thumbnails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from proxy.standin.standin import StandIn
from tests.harness.cloudreve_targets import Target
from tests.harness.gateways import PNG, GatewayClient, GatewayLauncher, Reply
from tests.harness.sites import Site

PICTURES = 40
CONNECTIONS = 6
"""As many as a browser opens to one host."""


def three_identities(target: Target) -> list[dict[str, str]]:
    """Name two users and anonymous, who is three people: tickets that Cloudreve does not ask for change nothing."""
    return [{"token": target.alice}, {"token": target.bob}, {}, {"ticket": "first"}, {"ticket": "second"}]


async def view(gateway: GatewayClient, uris: Iterable[str], **visitor: str) -> list[Reply]:
    """Ask for all pictures as a browser does, six at a time."""
    free = asyncio.Semaphore(CONNECTIONS)

    async def one(uri: str) -> Reply:
        async with free:
            return await gateway.ask(uri, **visitor)

    return await asyncio.gather(*map(one, uris))


async def shown(gateway: GatewayClient, uris: list[str], viewers: list[dict[str, str]]) -> list[Reply]:
    """Let all viewers look at once; every one of them gets every picture, and each picture is the same for all."""
    per_viewer = await asyncio.gather(*(view(gateway, uris, **viewer) for viewer in viewers))
    for replies in per_viewer:
        assert {(reply.status, reply.headers["Content-Type"]) for reply in replies} == {(200, PNG)}
        assert [reply.body for reply in replies] == [reply.body for reply in per_viewer[0]]
    assert len({reply.body for reply in per_viewer[0]}) == PICTURES
    return [reply for replies in per_viewer for reply in replies]


def resolves(gateway: GatewayClient) -> dict[str, float]:
    """Count how resolves ended, as the gateway's metrics tell."""
    outcomes = ("grant", "refusal", "generating", "error", "unreachable", "too_slow")
    return {name: gateway.count("upstream_calls_total", verb="resolve", outcome=name) for name in outcomes}


def fetches(gateway: GatewayClient) -> float:
    """Count the pictures that were fetched."""
    return gateway.count("upstream_calls_total", verb="fetch", outcome="picture")


async def test_five_viewers_of_one_identity_get_every_picture_for_one_resolve_and_fetch_each(
    site: Site, site_gateway: GatewayClient
) -> None:
    """200 of 200 arrive, by 40 resolves and 40 fetches; whoever came second waited or hit."""
    replies = await shown(site_gateway, await site.gallery(PICTURES), [{}] * 5)
    assert len(replies) == 200
    assert resolves(site_gateway)["grant"] == sum(resolves(site_gateway).values()) == PICTURES
    assert fetches(site_gateway) == PICTURES
    assert sum(site_gateway.count("requests_total", outcome=outcome) for outcome in ("hit", "miss")) == 200
    waited = site_gateway.count("lookups_total", entry="grant", source="upstream") - PICTURES
    assert site_gateway.count("collapsed_total", flight="grant") == waited


async def test_three_identities_get_every_picture_and_never_collide(site: Site, site_gateway: GatewayClient) -> None:
    """200 of 200 arrive by one resolve per identity and picture; none of them met another at the same picture."""
    replies = await shown(site_gateway, await site.gallery(PICTURES), three_identities(site.target))
    assert len(replies) == 200
    assert resolves(site_gateway)["grant"] == sum(resolves(site_gateway).values()) == 3 * PICTURES
    assert fetches(site_gateway) <= PICTURES
    assert site_gateway.count("upstream_calls_total", verb="whoami", outcome="identity") == 2


async def test_a_second_visit_asks_cloudreve_nothing(site: Site, site_gateway: GatewayClient) -> None:
    """The pictures of the first visit are at hand for the same five, and their browsers hear 304."""
    uris, viewers = await site.gallery(PICTURES), three_identities(site.target)
    await shown(site_gateway, uris, viewers)
    before = resolves(site_gateway), fetches(site_gateway)
    replies = await shown(site_gateway, uris, viewers)
    assert all(reply.is_hit for reply in replies)
    again = [await site_gateway.ask(uri, etag=reply.etag) for uri, reply in zip(uris, replies, strict=False)]
    assert {reply.status for reply in again} == {304}
    assert (resolves(site_gateway), fetches(site_gateway)) == before


async def test_the_stand_in_sees_what_the_metrics_say(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """40 resolves, none refused, no more than eight at a time, and 40 fetches."""
    await shown(gateway, cloudreve.library.gallery(PICTURES)[1], [{}] * 5)
    assert cloudreve.calls.count("resolve") == cloudreve.calls.count("resolve", code=0) == PICTURES
    assert cloudreve.calls.count("fetch") == PICTURES
    assert cloudreve.calls.peak("resolve") <= 8


async def test_conflicts_with_others_who_generate_the_same_are_waited_out(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """Two gateways that know nothing of each other collide at every picture, and still every visitor gets all."""
    gateways = [await launcher.open(), await launcher.open()]
    uris = cloudreve.library.gallery(PICTURES)[1]
    cloudreve.generator.gate = asyncio.Event()
    views = asyncio.gather(*(shown(gateway, uris, [{}, {"ticket": "a-ticket"}]) for gateway in gateways))
    await cloudreve.calls.ended("resolve", 6)  # while nothing can be generated only conflicts end
    cloudreve.generator.gate.set()
    await views
    assert {call.code for call in cloudreve.calls.of("resolve")} == {0, 40073, 50004}
