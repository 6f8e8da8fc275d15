"""Storage that answers otherwise: busy, compressed, with long heads, without a length, or not yet."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import suppress

import pytest
from aiohttp import web

from proxy.domain.response_fields import INTERIM_S
from proxy.pictures import lookup
from proxy.pictures.respond import REFUSED_S
from proxy.standin import faults
from proxy.standin.faults import Exchange, Fault, Hang, Says
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from proxy.upstream import host_pauses
from proxy.upstream.host_pauses import FAILURES
from tests.harness.gateways import CUT_OFF, GatewayClient, GatewayLauncher, Hours, in_share, statuses

PNG = "image/png"


class Replies(Fault):
    """The proper picture, with a status and fields of the test's choice."""

    def __init__(self, status: int = 200, **fields: str) -> None:
        self.status = status
        self.fields = {name.replace("_", "-"): value for name, value in fields.items()}

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Answer."""
        return web.Response(status=self.status, body=exchange.body, headers={"Content-Type": PNG, **self.fields})


class WithoutLength(Fault):
    """The proper picture as HTTP/1.0 sends what it does not know the length of: its end is the connection's."""

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Answer with raw bytes."""
        transport = exchange.request.transport
        assert transport is not None
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(b"HTTP/1.0 200 OK\r\nContent-Type: image/png\r\n\r\n" + exchange.body)
        transport.close()
        return web.Response()


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_storage_is_left_alone_for_the_time_it_names(
    cloudreve: StandIn, gateway: GatewayClient, status: int
) -> None:
    """Ten requests make one fetch; each visitor is told when to come again."""
    cloudreve.fail("fetch", Replies(status, Retry_After="37"))
    replies = [await gateway.ask(in_share(cloudreve)) for _ in range(10)]
    assert statuses(replies) == [503] * 10
    assert all(20 <= int(reply.headers["Retry-After"]) <= 37 for reply in replies)
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 1)


async def test_a_compressed_picture_is_decoded(cloudreve: StandIn, gateway: GatewayClient) -> None:
    plain = await gateway.ask(in_share(cloudreve, "two.png"))
    cloudreve.fail("fetch", faults.Encoded(real=True))
    reply = await gateway.ask(in_share(cloudreve))
    assert (reply.status, reply.headers["Content-Type"]) == (200, PNG)
    assert reply.body.startswith(plain.body[:8])
    assert "Content-Encoding" not in reply.headers


async def test_a_compressed_bomb_is_stopped(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """At `pictures.max_bytes`, long before it is decoded."""
    gateway = await launcher.open(pictures={"max_bytes": 100_000})
    bomb = gzip.compress(b"\x89PNG\r\n\x1a\n" + bytes(50_000_000))
    cloudreve.fail("fetch", Says(bomb, PNG, headers={"Content-Encoding": "gzip"}))
    with suppress(*CUT_OFF):
        assert (await gateway.ask(in_share(cloudreve))).status == 502


async def test_a_long_head_is_read(cloudreve: StandIn, gateway: GatewayClient) -> None:
    cloudreve.fail("fetch", Replies(X_Policy="x" * 11_000))
    assert (await gateway.ask(in_share(cloudreve))).status == 200


async def test_a_picture_without_a_length_is_taken(cloudreve: StandIn, gateway: GatewayClient) -> None:
    cloudreve.fail("fetch", WithoutLength())
    reply = await gateway.ask(in_share(cloudreve))
    assert (reply.status, reply.headers["Content-Type"]) == (200, PNG)
    assert (await gateway.ask(in_share(cloudreve))).is_hit


async def test_a_refused_fetch_is_remembered_for_seconds(
    cloudreve: StandIn, gateway: GatewayClient, hours: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a storage that wants a Referer, say: ten requests cost two resolves and a few fetches."""
    monkeypatch.setattr("proxy.gateway.STORED_AFTER_S", (0.0, 0.0))
    cloudreve.fail("fetch", faults.error_page(403))
    replies = [await gateway.ask(in_share(cloudreve)) for _ in range(10)]
    assert statuses(replies) == [503] * 10
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (2, 3)
    cloudreve.mend()
    hours.pass_by(REFUSED_S + 1)
    assert (await gateway.ask(in_share(cloudreve))).status == 200


async def test_a_picture_that_is_stored_late_is_waited_for(
    cloudreve: StandIn, gateway: GatewayClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cloudreve grants it while its storage still takes it in: nobody hears of that."""
    monkeypatch.setattr("proxy.gateway.STORED_AFTER_S", (0.0, 0.01, 0.01, 0.01))
    cloudreve.fail("fetch", faults.error_page(404), times=4)
    assert (await gateway.ask(in_share(cloudreve))).status == 200
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (2, 5)


async def test_a_picture_that_is_stored_too_late_is_told_before_the_deadline(
    cloudreve: StandIn, launcher: GatewayLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 with a time to come again: it is no upstream that hangs."""
    monkeypatch.setattr("proxy.gateway.STORED_AFTER_S", (0.0, 0.0, 30.0))
    gateway = await launcher.open(server={"deadline_s": 20.0})
    cloudreve.fail("fetch", faults.error_page(404))
    reply = await gateway.ask(in_share(cloudreve))
    assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
    assert cloudreve.calls.count("fetch") == 3


@pytest.mark.parametrize("fault", [faults.Reset(), Hang()], ids=["reset", "hang"])
async def test_a_host_that_does_not_answer_is_left_alone(
    cloudreve: StandIn, launcher: GatewayLauncher, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """After three fetches visitors are told at once; pictures that Cloudreve sends itself come as ever."""
    monkeypatch.setattr(host_pauses, "FAILED_PAUSE_S", 3600.0)
    patience_s = 0.1 if isinstance(fault, Hang) else 60.0
    gateway = await launcher.open(cloudreve={"image_hosts": ["127.0.0.1"], "fetch_timeout_s": patience_s})
    _, uris = cloudreve.library.gallery(10)
    cloudreve.foreign = True
    cloudreve.fail("fetch", fault)
    first, later = [[await gateway.ask(uri) for uri in part] for part in (uris[:FAILURES], uris[FAILURES:])]
    assert set(statuses(first)) <= {503, 504}
    assert statuses(later) == [503] * len(later)
    failed = (gateway.count("upstream_calls_total", verb="fetch", outcome=each) for each in ("unreachable", "too_slow"))
    assert sum(failed) == FAILURES
    assert int(later[-1].headers["Retry-After"]) > 3500
    if isinstance(fault, Hang):
        fault.until.set()
        return
    cloudreve.foreign = False
    cloudreve.mend()
    assert (await gateway.ask(in_share(cloudreve))).status == 200


async def test_one_busy_storage_behind_cloudreve_is_no_busy_cloudreve(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    """Cloudreve passes on what one of its storages says of one picture."""
    cloudreve.fail("fetch", Replies(503, Retry_After="37"), times=1)
    assert (await gateway.ask(in_share(cloudreve))).status == 503
    assert (await gateway.ask(in_share(cloudreve, "two.png"))).status == 200
    assert (await gateway.ask(in_share(cloudreve))).status == 503
    assert cloudreve.calls.count("fetch") == 2


@pytest.fixture
async def short(cloudreve: StandIn, launcher: GatewayLauncher) -> GatewayClient:
    """Run a gateway before a storage of its own host, with grants of a minute and a half."""
    cloudreve.foreign = True
    return await launcher.open(cloudreve={"image_hosts": ["127.0.0.1"]}, grants={"max_ttl_s": 90.0, "margin_s": 0.0})


@pytest.mark.parametrize("fault", [faults.Half(), faults.Truncated()], ids=["half", "truncated"])
async def test_bytes_at_hand_are_shown_while_downloads_break_off(
    cloudreve: StandIn, short: GatewayClient, hours: Hours, fault: Fault
) -> None:
    """Of a storage without validators, which sends the whole picture each time."""
    cloudreve.foreign_etags = False
    first = await short.ask(in_share(cloudreve))
    hours.pass_by(100)
    cloudreve.fail("fetch", fault)
    shown = [await short.ask(in_share(cloudreve)) for _ in range(3)]
    assert {(reply.status, reply.body, reply.etag) for reply in shown} == {(200, first.body, first.etag)}
    cloudreve.mend()
    cloudreve.library.repaint(cloudreve.library.file("/album/one.png"), paint(99, 40, 30))
    hours.pass_by(10)
    changed = await short.ask(in_share(cloudreve))
    assert (changed.status, changed.body == first.body) == (200, False)


class Never(Hang):
    """Nothing."""


@pytest.mark.parametrize(
    "fault",
    [faults.Reset(), Replies(503, Retry_After="37"), Replies(500), Replies(429), Never()],
    ids=["reset", "503", "500", "429", "hang"],
)
async def test_bytes_at_hand_are_shown_while_their_storage_is_away(
    cloudreve: StandIn, short: GatewayClient, hours: Hours, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """Under a new grant, to be asked again soon; storage is asked once, and after a bounded time it is an error."""
    monkeypatch.setattr(lookup, "REVALIDATE_S", 0.05)
    first = await short.ask(in_share(cloudreve))
    hours.pass_by(100)
    cloudreve.fail("fetch", fault)
    shown = [await short.ask(in_share(cloudreve)) for _ in range(5)]
    assert {(reply.status, reply.body, reply.etag) for reply in shown} == {(200, first.body, first.etag)}
    assert all("detail=stale" in reply.headers["Cache-Status"] for reply in shown[1:])
    assert max(reply.max_age_s for reply in shown) <= INTERIM_S
    assert short.count("upstream_calls_total", verb="resolve", outcome="grant") == 2
    assert cloudreve.calls.count("fetch") <= 3
    assert (await short.ask(in_share(cloudreve), etag=first.etag)).status == 304
    if isinstance(fault, Hang):
        fault.until.set()
        return
    hours.pass_by(3601)
    assert (await short.ask(in_share(cloudreve))).status == 503


async def test_bytes_at_hand_are_shown_to_nobody_without_a_grant(
    cloudreve: StandIn, short: GatewayClient, hours: Hours
) -> None:
    first = await short.ask(in_share(cloudreve))
    hours.pass_by(100)
    cloudreve.fail("fetch", faults.Reset())
    cloudreve.library.share.members_only = True
    assert (await short.ask(in_share(cloudreve))).status == 401
    reply = await short.ask(in_share(cloudreve), cloudreve.token("bob"))
    assert (reply.status, reply.body) == (200, first.body), "bob is granted what he has never seen"


async def test_short_grants_do_not_ask_storage_each_time(
    cloudreve: StandIn, launcher: GatewayLauncher, hours: Hours
) -> None:
    """What a visitor was shown counts as unchanged for `pictures.recheck_s`; another visitor's grant is checked."""
    cloudreve.foreign, uri = True, in_share(cloudreve)
    gateway = await launcher.open(cloudreve={"image_hosts": ["127.0.0.1"]}, grants={"max_ttl_s": 20.0, "margin_s": 0.0})
    for fetches in (1, 1, 1, 2):
        assert (await gateway.ask(uri)).status == 200
        assert cloudreve.calls.count("fetch") == fetches
        hours.pass_by(25)
    assert (await gateway.ask(uri, cloudreve.token("bob"))).status == 200
    assert cloudreve.calls.count("fetch") == 3


async def test_a_picture_that_has_changed_is_shown_once_storage_answers(
    cloudreve: StandIn, short: GatewayClient, hours: Hours
) -> None:
    """What was shown meanwhile is not believed to be the granted one."""
    uri = in_share(cloudreve)
    first = await short.ask(uri)
    hours.pass_by(100)
    cloudreve.fail("fetch", faults.Reset())
    assert (await short.ask(uri)).etag == first.etag
    cloudreve.mend()
    cloudreve.library.repaint(cloudreve.library.file("/album/one.png"), paint(99, 40, 30))
    hours.pass_by(10)
    changed = await short.ask(uri)
    assert (changed.status, changed.etag == first.etag) == (200, False)


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_an_error_of_storage_is_asked_about_once_more(
    cloudreve: StandIn, gateway: GatewayClient, status: int
) -> None:
    """Most are gone a moment later; one that stays is 503 with a time to come again."""
    cloudreve.fail("fetch", Replies(status), times=1)
    assert (await gateway.ask(in_share(cloudreve))).status == 200
    assert cloudreve.calls.count("fetch") == 2
    cloudreve.fail("fetch", Replies(status))
    reply = await gateway.ask(in_share(cloudreve, "two.png"))
    assert (reply.status, reply.headers["Retry-After"]) == (503, "2")
    assert cloudreve.calls.count("fetch") == 4
