"""A new thumbnail is an event of its file: what was granted before it stays, and a new version is seen by everybody."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from proxy.domain.keys import watch_key
from proxy.domain.tags import files_tag
from proxy.live_events import confirmation, subscription
from proxy.live_events.burst import QUEUE
from proxy.standin.faults import Hang
from proxy.standin.library import PASSWORD
from proxy.standin.standin import StandIn
from proxy.upstream.event_streams import EventStream
from tests.gateway.test_api import given
from tests.harness.gateways import ONE, TWO, GatewayClient, GatewayLauncher, in_share, kept, until
from tests.harness.redis_server import RedisServer

SECRET = "0123456789abcdef" * 4
WATCHED: dict[str, Any] = {
    "watch": {"max_subscriptions": 8, "email": "bob@example.org", "secret": PASSWORD},
    "seal": {"keys": [SECRET]},
}

OWN: dict[str, Any] = {"watch": {"max_subscriptions": 8}}
"""Without an account for shares."""


@pytest.fixture(autouse=True)
def _at_once(cloudreve: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have events wait for the test, and nothing else."""
    monkeypatch.setattr(subscription, "PAUSES_S", (0.0,))
    monkeypatch.setattr(confirmation, "CONFIRM_S", 60.0)
    cloudreve.events.is_waiting = True


async def listening(cloudreve: StandIn, gateway: GatewayClient, *folders: str) -> None:
    await until(lambda: (sorted(cloudreve.events.online()), gateway.count("watch_live")) == ([*folders], len(folders)))


async def told(cloudreve: StandIn, gateway: GatewayClient, listeners: int = 1) -> None:
    """Have what waits told, and wait until the gateway has taken it in."""
    events = gateway.count("watch_events_total") + listeners * min(cloudreve.events.tell(), QUEUE)
    await until(lambda: gateway.count("watch_events_total") >= events)


@pytest.mark.parametrize("pictures", [3, QUEUE + 4], ids=["few", "more than Cloudreve tells of"])
async def test_a_fresh_gallery_is_asked_for_once(cloudreve: StandIn, launcher: GatewayLauncher, pictures: int) -> None:
    """And sealed URLs that were given out before keep working, though each thumbnail is told as a change."""
    gateway, (share, uris) = await launcher.open(**WATCHED), cloudreve.library.gallery(pictures)
    await gateway.ask(uris[0])
    await listening(cloudreve, gateway, share.path)
    await asyncio.gather(*(gateway.ask(uri) for uri in uris))
    sealed = [await given(gateway, uri) for uri in uris]
    await told(cloudreve, gateway)
    resolves = cloudreve.calls.count("resolve")
    replies = await asyncio.gather(*(gateway.ask(uri) for uri in uris))
    assert [reply.is_hit for reply in replies] == [True] * pictures
    assert [(await gateway.send("GET", url)).status for url in sealed] == [200] * pictures
    assert cloudreve.calls.count("resolve") == resolves
    assert gateway.count("watch_confirmed_total") >= pictures


async def test_what_may_have_been_missed_in_an_owners_files_leaves_the_visitors_of_a_share_alone(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """Where the files are the same: the one that was replaced unheard is seen by them as well."""
    gateway, (share, uris) = await launcher.open(**OWN), cloudreve.library.gallery(QUEUE + 4)
    await gateway.ask(ONE, cloudreve.token())
    await listening(cloudreve, gateway, "/")
    before = await asyncio.gather(*(gateway.ask(uri) for uri in uris))
    await told(cloudreve, gateway)
    assert [(await gateway.ask(uri)).is_hit for uri in uris] == [True] * len(uris)
    for number in range(QUEUE):
        cloudreve.library.put(cloudreve.library.alice, f"/album/new-{number}.png")
    cloudreve.library.put(cloudreve.library.alice, f"{share.path}/0.png")
    await told(cloudreve, gateway)
    after = await asyncio.gather(*(gateway.ask(uri) for uri in uris))
    assert after[0].etag != before[0].etag
    assert [reply.is_hit for reply in after] == [False, *[True] * len(uris[1:])]


async def test_a_new_version_is_seen_by_everybody(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """By its owner, by visitors of the share, and by whoever has a sealed URL of the old one."""
    gateway, token, uri = await launcher.open(**WATCHED), cloudreve.token(), in_share(cloudreve)
    await gateway.ask(uri)
    await gateway.ask(ONE, token)
    await listening(cloudreve, gateway, "/", "/album")
    await told(cloudreve, gateway, 2)
    sealed, before = await given(gateway, uri), await gateway.ask(ONE, token)
    assert before.is_hit
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    await told(cloudreve, gateway, 2)
    after = [await gateway.ask(ONE, token), await gateway.ask(uri)]
    assert [reply.status for reply in after] == [200, 200]
    assert {reply.etag for reply in after}.isdisjoint({before.etag})
    assert (await gateway.send("GET", sealed)).status == 410
    await told(cloudreve, gateway, 2)  # the thumbnail of the new version
    assert [(await gateway.ask(ONE, token)).is_hit, (await gateway.ask(uri)).is_hit] == [True, True]


async def test_what_is_removed_is_gone_though_its_thumbnail_was_new(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    gateway, token = await launcher.open(**WATCHED), cloudreve.token()
    await gateway.ask(ONE, token)
    await listening(cloudreve, gateway, "/")
    await gateway.ask(TWO, token)
    cloudreve.library.remove(cloudreve.library.file("/album/one.png"))
    await told(cloudreve, gateway)
    assert ((await gateway.ask(ONE, token)).status, (await gateway.ask(TWO, token)).is_hit) == (404, True)


async def test_in_an_outage_what_was_granted_stays(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    gateway, token = await launcher.open(**WATCHED), cloudreve.token()
    await gateway.ask(ONE, token)
    await listening(cloudreve, gateway, "/")
    await told(cloudreve, gateway)
    await cloudreve.stop()
    await until(lambda: gateway.count("watch_breaks_total") == 1)
    assert (await gateway.ask(ONE, token)).is_hit


async def test_a_share_that_is_deleted_while_a_stream_is_broken_is_seen_no_more(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """Cloudreve refuses to be listened to in it, so that no later event tells."""
    gateway, uri = await launcher.open(**WATCHED), in_share(cloudreve)
    await gateway.ask(uri)
    await listening(cloudreve, gateway, "/album")
    assert (await gateway.ask(uri)).is_hit
    del cloudreve.library.shares[cloudreve.library.share.id]
    cloudreve.events.break_off()
    await until(lambda: gateway.count("watch_gaps_total") == 1)
    assert (await gateway.ask(uri)).status == 404


async def test_what_cloudreve_does_not_confirm_in_time_ends(
    cloudreve: StandIn, launcher: GatewayLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirmation, "CONFIRM_S", 0.05)
    gateway, token = await launcher.open(**WATCHED), cloudreve.token()
    await gateway.ask(ONE, token)
    await listening(cloudreve, gateway, "/")
    cloudreve.fail("resolve", Hang(answers := asyncio.Event()), times=1)
    await told(cloudreve, gateway)
    answers.set()
    assert not (await gateway.ask(ONE, token)).is_hit
    assert gateway.count("watch_confirmed_total") == 0


async def test_what_has_waited_for_others_too_long_is_not_asked_for(
    cloudreve: StandIn, launcher: GatewayLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each of several changes that come one behind the other would wait for Cloudreve's word anew."""
    monkeypatch.setattr(EventStream, "since", property(lambda _: -math.inf, lambda *_: None), raising=False)
    gateway, token = await launcher.open(**WATCHED), cloudreve.token()
    await gateway.ask(ONE, token)
    await listening(cloudreve, gateway, "/")
    await told(cloudreve, gateway)
    assert gateway.count("watch_confirmed_total") == 0
    assert not (await gateway.ask(ONE, token)).is_hit


async def test_it_is_known_since_when_events_may_have_waited() -> None:
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    reader = aiohttp.StreamReader(protocol, 2**16, loop=loop)
    stream, event = (
        EventStream(cast("aiohttp.ClientResponse", SimpleNamespace(content=reader))),
        b"event:event\ndata:{}\n\n",
    )
    reader.feed_data(event)
    assert await stream.next()
    assert stream.since == -math.inf, "it was there already"
    coming = asyncio.ensure_future(stream.next())
    await asyncio.sleep(0)
    reader.feed_data(event)
    assert await coming
    assert math.isfinite(stream.since)


async def test_a_file_that_nobody_was_granted_is_not_asked_for(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """Else Cloudreve would make a thumbnail of all that is uploaded."""
    gateway, token = await launcher.open(**WATCHED), cloudreve.token()
    await gateway.ask(ONE, token)
    await listening(cloudreve, gateway, "/")
    await told(cloudreve, gateway)
    resolves = cloudreve.calls.count("resolve")
    for number in range(QUEUE + 1):
        cloudreve.library.put(cloudreve.library.alice, f"/album/new-{number}.png")
    await told(cloudreve, gateway)
    assert cloudreve.calls.count("resolve") == resolves + 1  # of the one that may have changed unheard
    assert (await gateway.ask(ONE, token)).is_hit


async def test_what_another_replica_was_granted_stays_too(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    """The one that listens reads in Redis what it was, sealed."""
    sections = {**WATCHED, "redis": {"url": redis_server.url, "timeout_s": 5.0}}
    one, two, token = await launcher.open(**sections), await launcher.open(**sections), cloudreve.token()
    await one.ask(ONE, token)
    await until(lambda: one.count("watch_live") == 1)
    place = files_tag(cloudreve.library.alice.id).hex()
    [key] = await found(redis_server, watch_key(f"granted {place}"))
    before = redis_server.command("GET", key)
    await two.ask(TWO, token)
    await until(lambda: redis_server.command("GET", key) != before)
    await told(cloudreve, one)
    await until(lambda: two.count("changes_heard") >= one.count("changes_heard"))
    assert [(await gateway.ask(TWO, token)).is_hit for gateway in (one, two)] == [True, True]
    assert "two.png" not in repr(redis_server.command("GET", key))


async def found(redis_server: RedisServer, name: str) -> list[str]:
    """Wait until Redis has an entry of this name."""
    await until(lambda: any(key.endswith(name) for key in kept(redis_server, "w")))
    return [key for key in kept(redis_server, "w") if key.endswith(name)]
