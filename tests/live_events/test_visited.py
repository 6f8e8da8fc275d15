"""Changes made directly at Cloudreve in users' own files, and in shares, while somebody looks at them."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.live_events import share_terms, subscription
from proxy.standin.library import PASSWORD, SHARE_PASSWORD
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, in_share, until

WATCHED: dict[str, Any] = {"watch": {"max_subscriptions": 8, "email": "bob@example.org", "secret": PASSWORD}}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "PAUSES_S", (0.0,))
    monkeypatch.setattr(share_terms, "ASK_S", 0.05)


async def listening(cloudreve: StandIn, gateway: GatewayClient, folder: str) -> None:
    """Wait until a folder is listened to, and nothing that was granted before counts any more."""
    await until(lambda: (cloudreve.events.online(), gateway.count("watch_live")) == ([folder], 1))


async def shown(gateway: GatewayClient, uri: str, token: str | None = None) -> str:
    """Ask until the picture comes from the cache, and give its ETag."""
    while not (reply := await gateway.ask(uri, token)).is_hit:
        assert reply.status == 200
    return reply.etag


async def heard(gateway: GatewayClient, events: int) -> None:
    """Wait until a gateway has heard so many events."""
    await until(lambda: gateway.count("watch_events_total") >= events)


async def test_a_user_who_is_there_sees_what_an_app_of_theirs_has_changed(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    gateway, token = await launcher.open(**WATCHED), cloudreve.token()
    await gateway.ask(ONE, token)
    await listening(cloudreve, gateway, "/")
    before = await shown(gateway, ONE, token)
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    await heard(gateway, 1)
    assert await shown(gateway, ONE, token) != before
    assert {call.identity for call in cloudreve.calls.of("events")} == {cloudreve.library.alice.id}


async def test_visitors_of_a_share_see_what_its_owner_has_changed(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """The gateway listens in the name of an account of its own."""
    gateway, uri = await launcher.open(**WATCHED), in_share(cloudreve)
    await gateway.ask(uri)
    await listening(cloudreve, gateway, "/album")
    before = await shown(gateway, uri)
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    await heard(gateway, 1)
    assert await shown(gateway, uri) != before
    assert {call.identity for call in cloudreve.calls.of("events")} == {cloudreve.library.bob.id}


async def test_without_an_account_shares_are_as_before(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    gateway = await launcher.open(watch={"max_subscriptions": 8})
    await gateway.ask(in_share(cloudreve), cloudreve.token("bob"))
    await gateway.ask(ONE, cloudreve.token())
    await listening(cloudreve, gateway, "/")
    assert gateway.count("watch_folders") == 1


async def test_a_share_with_a_password_is_listened_to_with_the_password_that_has_opened_it(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """When it is changed, those who came by the old one see nothing any more."""
    gateway, share = await launcher.open(**WATCHED), cloudreve.library.private_share
    uri = f"cloudreve://{share.id}:{SHARE_PASSWORD}@share/one.png"
    await gateway.ask(uri)
    await listening(cloudreve, gateway, "/album")
    await shown(gateway, uri)
    share.password = "another"
    gaps = gateway.count("changes_heard")
    await until(lambda: gateway.count("changes_heard") > gaps)
    assert (await gateway.ask(uri)).status == 403


async def test_a_share_that_is_deleted_is_seen_no_more(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    gateway, uri = await launcher.open(**WATCHED), in_share(cloudreve)
    await gateway.ask(uri)
    await listening(cloudreve, gateway, "/album")
    await shown(gateway, uri)
    del cloudreve.library.shares[cloudreve.library.share.id]
    changes = gateway.count("changes_heard")
    await until(lambda: gateway.count("changes_heard") > changes)
    assert (await gateway.ask(uri)).status == 404


async def test_a_share_that_may_not_be_listened_to_makes_room_for_others(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """One of a single file, for example; its visitors see what they saw before."""
    gateway = await launcher.open(watch={**WATCHED["watch"], "max_subscriptions": 1})
    await shown(gateway, f"cloudreve://{cloudreve.library.file_share.id}@share/one.png")
    await cloudreve.calls.ended("events")
    await gateway.ask(in_share(cloudreve))
    await listening(cloudreve, gateway, "/album")
    assert gateway.count("watch_folders") == 1


async def test_a_user_whose_token_is_refused_is_shown_pictures_as_before(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """It is asked with for what it may do, and that is all."""
    cloudreve.has_events = False
    gateway, token = await launcher.open(**WATCHED), cloudreve.token()
    await shown(gateway, ONE, token)
    await cloudreve.calls.ended("events")
    assert await shown(gateway, ONE, token)
    ready = await gateway.send("GET", gateway.admin + "/readyz")
    assert b"not heard" not in ready.body
