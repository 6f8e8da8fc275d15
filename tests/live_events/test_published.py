"""Changes of the owner of a published folder, made directly at Cloudreve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.live_events import client_ids, recent_grants, subscription
from proxy.live_events.burst import QUEUE
from proxy.standin.library import PASSWORD
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, TWO, GatewayClient, GatewayLauncher, gateway_of, until
from tests.harness.redis_server import RedisServer

ENTRY = {"prefix": "cloudreve://my/album", "email": "alice@example.org", "secret": PASSWORD}
WATCHED: dict[str, Any] = {"publish": [ENTRY], "watch": {"max_subscriptions": 8}}
FOLDERS = ["/", "/album"]
"""That are listened to: the folder itself, and all that is above it."""
SECRET = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription, "PAUSES_S", (0.0,))
    monkeypatch.setattr(client_ids, "HAND_OVER_S", 0.0)
    monkeypatch.setattr(subscription, "POLL_S", 0.05)
    monkeypatch.setattr(recent_grants, "WRITE_S", 3600.0)  # else a busy machine has files to ask Cloudreve about


async def listening(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Wait until the folders are listened to, each once, and nothing that was granted before counts any more."""
    await until(lambda: (sorted(cloudreve.events.online()), gateway.count("watch_live")) == (FOLDERS, 2))


async def heard(gateway: GatewayClient, events: int) -> None:
    """Wait until a gateway has heard so many events."""
    await until(lambda: gateway.count("watch_events_total") >= events)


async def shown(gateway: GatewayClient, uri: str = ONE) -> str:
    """Ask until the picture comes from the cache, and give its ETag."""
    while not (reply := await gateway.ask(uri)).is_hit:
        assert reply.status == 200
    return reply.etag


@pytest.fixture
async def gateway(cloudreve: StandIn, launcher: GatewayLauncher) -> GatewayClient:
    """Run a gateway that listens, and shows a picture whose thumbnail is there."""
    gateway = await launcher.open(**WATCHED)
    await listening(cloudreve, gateway)
    await gateway.ask(ONE)
    await heard(gateway, 2)  # the thumbnail that has been made
    return gateway


async def test_a_new_version_is_shown(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Without it the old one would be, for as long as the grant lasts."""
    before = await shown(gateway)
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    await heard(gateway, 4)
    assert await shown(gateway) != before


async def test_a_deleted_picture_is_gone(cloudreve: StandIn, gateway: GatewayClient) -> None:
    await shown(gateway)
    await shown(gateway, TWO)
    await heard(gateway, 4)
    await shown(gateway, TWO)
    cloudreve.library.remove(cloudreve.library.file("/album/one.png"))
    await heard(gateway, 6)
    assert ((await gateway.ask(ONE)).status, (await gateway.ask(TWO)).is_hit) == (404, True)


async def test_changes_of_a_folder_above_count(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Those who listen to the folder itself are not told."""
    await shown(gateway)
    resolves = cloudreve.calls.count("resolve")
    cloudreve.events.publish("rename", cloudreve.library.alice, "/album", "/private")
    await heard(gateway, 3)
    assert not (await gateway.ask(ONE)).is_hit
    assert cloudreve.calls.count("resolve") == resolves + 1


async def test_changes_missed_in_a_break_count(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Nobody knows what it was, so that all grants of the folder end."""
    before, gaps = await shown(gateway), gateway.count("watch_gaps_total")
    cloudreve.events.break_off()
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    await until(lambda: gateway.count("watch_gaps_total") == gaps + 2)
    assert await shown(gateway) != before
    assert gateway.count("watch_breaks_total") == 2


async def test_a_burst_that_is_too_long_for_cloudreve_ends_all_grants_of_the_folder(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    before = await shown(gateway)
    for number in range(QUEUE):
        cloudreve.library.put(cloudreve.library.alice, f"/album/new-{number}.png")
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    await heard(gateway, 2 + 2 * QUEUE)
    assert await shown(gateway) != before


async def test_a_restart_hears_what_it_has_missed_and_asks_for_nothing_else_again(
    cloudreve: StandIn, tmp_path: Path
) -> None:
    sections = {**WATCHED, "disk": {"path": str(tmp_path / "cache")}, "seal": {"keys": [SECRET]}}
    async with gateway_of(cloudreve.own_url, **sections) as gateway:
        await listening(cloudreve, gateway)
        for uri in (ONE, TWO):
            await gateway.ask(uri)
        await heard(gateway, 4)
        before = [await shown(gateway, uri) for uri in (ONE, TWO)]
    assert cloudreve.events.online() == []
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    cloudreve.calls.forget()
    async with gateway_of(cloudreve.own_url, **sections) as gateway:
        await heard(gateway, 2)
        assert (await gateway.ask(TWO)).etag == before[1]
        assert (cloudreve.calls.count("resolve"), gateway.count("watch_gaps_total")) == (0, 0)
        assert (await gateway.ask(ONE)).etag != before[0]


async def test_after_a_restart_of_cloudreve_too_nobody_knows_what_was_missed(
    cloudreve: StandIn, tmp_path: Path
) -> None:
    sections = {**WATCHED, "disk": {"path": str(tmp_path / "cache")}, "seal": {"keys": [SECRET]}}
    async with gateway_of(cloudreve.own_url, **sections) as gateway:
        await listening(cloudreve, gateway)
        before = await shown(gateway)
    cloudreve.events.forget()
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    async with gateway_of(cloudreve.own_url, **sections) as gateway:
        await until(lambda: gateway.count("watch_gaps_total") == 2)
        assert await shown(gateway) != before


async def test_of_two_replicas_one_listens_and_both_know(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    """When it leaves, the other goes on and has missed nothing."""
    sections = {**WATCHED, "redis": {"url": redis_server.url, "timeout_s": 5.0}, "seal": {"keys": [SECRET]}}
    second = None
    async with gateway_of(cloudreve.own_url, **sections) as first:
        await listening(cloudreve, first)
        second = await launcher.open(**sections)
        await until(lambda: second.count("watch_folders") == 2)
        await first.ask(ONE)
        await heard(first, 2)
        before = [await shown(gateway) for gateway in (first, second)]
        cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
        await heard(first, 4)
        after = await shown(first)
        await until(lambda: second.count("changes_heard") >= first.count("changes_heard"))
        assert [await shown(second), second.count("watch_live"), sorted(cloudreve.events.online())] == [
            after, 0, FOLDERS,
        ]  # fmt: skip
        assert before == [before[0]] * 2 != [after] * 2
    await listening(cloudreve, second)
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    await heard(second, 2)
    assert await shown(second) != after
    assert second.count("watch_gaps_total") == 0


async def test_without_events_all_is_as_before_and_operators_are_told(
    cloudreve: StandIn, launcher: GatewayLauncher, log_entries: list[Any]
) -> None:
    """Cloudreve's administrator may have switched them off."""
    cloudreve.has_events = False
    gateway = await launcher.open(**WATCHED)
    await until(lambda: gateway.count("watch_failing") == 2)
    ready = await gateway.send("GET", gateway.admin + "/readyz")
    assert b"publish 1: changes made at Cloudreve are not heard" in ready.body
    assert (ready.status, await shown(gateway) != "") == (200, True)
    assert [entry["event"] for entry in log_entries].count("live events are not heard") == len(FOLDERS)


async def test_with_no_subscription_allowed_nobody_listens(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    gateway = await launcher.open(publish=[ENTRY], watch={"max_subscriptions": 0})
    await shown(gateway)
    assert cloudreve.calls.count("events") == 0


async def test_no_token_and_no_client_id_is_told_to_anybody(
    cloudreve: StandIn, gateway: GatewayClient, log_entries: list[Any]
) -> None:
    """Neither in the log nor in metrics, nor on the status page."""
    calls = cloudreve.calls.of("events")
    cloudreve.events.break_off()
    await cloudreve.calls.arrived("events", 4)
    secrets = {
        call.headers[name].removeprefix("Bearer ") for call in calls for name in ("authorization", "x-cr-client-id")
    }
    pages = [await gateway.send("GET", gateway.admin + path) for path in ("/metrics", "/readyz", "/status")]
    told = repr(log_entries) + "".join(page.body.decode() for page in pages)
    assert len(secrets) == 3
    assert not [secret for secret in secrets if secret in told]


async def test_a_new_file_of_a_folder_that_is_kept_warm_is_warmed(
    cloudreve: StandIn, launcher: GatewayLauncher, log_entries: list[Any]
) -> None:
    gateway = await launcher.open(publish=[{**ENTRY, "warm": True}], watch=WATCHED["watch"])
    await listening(cloudreve, gateway)
    await until(lambda: any(entry["event"] == "warmed" for entry in log_entries))
    cloudreve.library.put(cloudreve.library.alice, "/album/new.png")
    await until(lambda: _resolved(cloudreve, "/new.png"))
    cloudreve.library.tell = lambda _kind, _owner, _path: None
    cloudreve.library.put(cloudreve.library.alice, "/album/deep/er/file.png")
    cloudreve.events.publish("create", cloudreve.library.alice, "/album/deep")
    await until(lambda: _resolved(cloudreve, "/deep/er/file.png"))


def _resolved(cloudreve: StandIn, path: str) -> bool:
    return any(call.ended and call.target.endswith(path) for call in cloudreve.calls.of("resolve"))
