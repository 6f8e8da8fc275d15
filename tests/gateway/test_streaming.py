"""A picture on its way: a visitor sees its first bytes before its last ones exist, and never half of it as a whole."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from proxy.standin.faults import Drip, Exchange, Fault
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.harness.gateways import CUT_OFF, PNG, GatewayClient, GatewayLauncher, in_share, kept
from tests.harness.redis_server import RedisServer

BIG = paint(1, 40, 30) + bytes(5_000_000)
"""A whole picture, more than the kernel's buffers take."""


class Snaps(Fault):
    """Half of the proper answer, and the rest never: `until` is set, and the connection is reset."""

    def __init__(self, *, announced: bool) -> None:
        self.until = asyncio.Event()
        self._announced = announced

    async def play(self, exchange: Exchange) -> web.StreamResponse:
        """Send the half, wait, reset."""
        body = exchange.body
        await exchange.begin(body[: len(body) // 2], announced=len(body) if self._announced else None)
        await self.until.wait()
        exchange.reset()
        return exchange.proper


async def test_the_first_bytes_arrive_before_the_last_exist(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Half of the picture is read while its other half is still held back."""
    drip = Drip()
    cloudreve.fail("fetch", drip, times=1)
    drip.release()
    async with gateway.opened(in_share(cloudreve)) as response:
        size = int(response.headers["Content-Length"])
        half = await response.content.readexactly(size // 2)
        assert cloudreve.calls.under_way("fetch") == 1
        drip.release()
        body = half + await response.read()
    assert (response.headers["Content-Type"], response.headers["ETag"][0], len(body)) == (PNG, '"', size)
    again = await gateway.ask(in_share(cloudreve))
    assert (again.is_hit, again.body) == (True, body)


async def test_a_request_during_a_download_gets_it_from_the_start(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """One fetch, whose beginning the late comer reads at once and whose end all readers get together."""
    drip = Drip()
    cloudreve.fail("fetch", drip, times=1)
    drip.release()
    async with gateway.opened(in_share(cloudreve)) as early:
        first = await early.content.readexactly(500)
        async with gateway.opened(in_share(cloudreve), cloudreve.token("bob")) as late:
            assert await late.content.readexactly(500) == first
            drip.release()
            assert await late.read() == await early.read()
    assert cloudreve.calls.count("fetch") == 1
    assert gateway.count("collapsed_total", flight="picture") == 1


@pytest.mark.parametrize("announced", [True, False])
async def test_a_picture_that_breaks_off_is_cut_and_never_completed(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer, announced: bool
) -> None:
    """All readers see a broken transfer, with a length and without; nothing is stored, and the next one gets it all."""
    gateway = await launcher.open(redis={"url": redis_server.url})
    snap = Snaps(announced=announced)
    cloudreve.fail("fetch", snap, times=1)
    token = cloudreve.token("bob")
    async with gateway.opened(in_share(cloudreve)) as one, gateway.opened(in_share(cloudreve), token) as other:
        for response in (one, other):
            assert response.status == 200
            assert ("Content-Length" in response.headers) == announced
        snap.until.set()
        for response in (one, other):
            with pytest.raises(CUT_OFF):
                await response.read()
    assert kept(redis_server, "p:") == []
    whole = await gateway.ask(in_share(cloudreve))
    assert (whole.status, whole.is_hit, len(whole.body)) == (200, False, int(whole.headers["Content-Length"]))
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (2, 2)


async def test_a_picture_without_end_is_cut_off_in_time(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """Chunk after chunk, and then none for longer than a picture may take."""
    gateway = await launcher.open(cloudreve={"fetch_timeout_s": 0.2})
    drip = Drip(announced=False)
    cloudreve.fail("fetch", drip, times=1)
    drip.release()
    async with gateway.opened(in_share(cloudreve)) as response:
        assert response.status == 200
        with pytest.raises(CUT_OFF):
            await response.read()
    assert (await gateway.ask(in_share(cloudreve))).status == 200


async def test_head_of_an_arriving_picture_waits_for_no_byte_of_it(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """The headers are those of GET, and the download goes on for the next visitor."""
    drip = Drip()
    cloudreve.fail("fetch", drip, times=1)
    drip.release()
    head = await gateway.ask(in_share(cloudreve), method="HEAD")
    assert cloudreve.calls.under_way("fetch") == 1
    drip.release()
    whole = await gateway.ask(in_share(cloudreve))
    assert (head.status, head.body) == (200, b"")
    assert set(head.headers) == set(whole.headers)
    for name in ("Content-Length", "Content-Type", "ETag", "Vary"):
        assert head.headers[name] == whole.headers[name]
    assert cloudreve.calls.count("fetch") == 1


async def test_head_keeps_its_connection_when_the_length_is_unknown(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """No body follows, not even an empty chunk that the next answer would be taken for."""
    for name in ("one.png", "two.png"):
        drip = Drip(announced=False)
        cloudreve.fail("fetch", drip, times=1)
        drip.release()
        reply = await gateway.ask(in_share(cloudreve, name), method="HEAD")
        drip.release()
        assert (reply.status, reply.body) == (200, b"")
        assert (await gateway.ask(in_share(cloudreve, name))).status == 200


async def test_a_visitor_who_has_an_arriving_picture_already_does_not_wait_for_it(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    """The validator of Cloudreve's own picture follows from the grant alone."""
    drip = Drip()
    cloudreve.fail("fetch", drip, times=1)
    drip.release()
    async with gateway.opened(in_share(cloudreve)) as arriving:
        reply = await gateway.ask(in_share(cloudreve), etag=arriving.headers["ETag"])
        assert (reply.status, reply.body) == (304, b"")
        assert cloudreve.calls.under_way("fetch") == 1
        drip.release()
        await arriving.read()


async def test_a_visitor_who_does_not_read_holds_nobody_up(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """A stalled visitor keeps its own connection busy and nothing else; one who leaves disturbs nobody."""
    cloudreve.library.put(cloudreve.library.alice, "/album/big.png", thumbnail=BIG)
    uri = in_share(cloudreve, "big.png")
    async with gateway.opened(uri) as stalled:
        assert stalled.status == 200
        assert (await gateway.ask(uri)).body == BIG
        stalled.close()
    hit = await gateway.ask(uri)
    assert (hit.is_hit, hit.body) == (True, BIG)
    assert cloudreve.calls.count("fetch") == 1


async def test_a_visitor_who_leaves_in_the_middle_is_no_error(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """The download goes on to its end for whoever comes next; the log stays quiet."""
    cloudreve.library.put(cloudreve.library.alice, "/album/big.png", thumbnail=BIG)
    drip = Drip()
    cloudreve.fail("fetch", drip, times=1)
    drip.release()
    async with gateway.opened(in_share(cloudreve, "big.png")) as response:
        await response.content.readexactly(100_000)
        response.close()
    drip.release()
    hit = await gateway.ask(in_share(cloudreve, "big.png"))
    assert (hit.status, hit.body, cloudreve.calls.count("fetch")) == (200, BIG, 1)


async def test_a_foreign_picture_that_arrives_slowly_without_a_validator_hits_next_time(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """Its version is known with its last byte only, but known then, under the grants of all who waited for it."""
    cloudreve.foreign, cloudreve.foreign_etags = True, False
    gateway = await launcher.open(cloudreve={"image_hosts": ["127.0.0.1"]})
    drip = Drip()
    cloudreve.fail("fetch", drip, times=1)
    drip.release()
    token = cloudreve.token("bob")
    async with gateway.opened(in_share(cloudreve)) as one, gateway.opened(in_share(cloudreve), token) as other:
        drip.release()
        body = await one.read()
        assert await other.read() == body
    for who in (None, token):
        again = await gateway.ask(in_share(cloudreve), who)
        assert (again.is_hit, again.body) == (True, body)
        assert (await gateway.ask(in_share(cloudreve), who, etag=again.etag)).status == 304
    assert cloudreve.calls.count("fetch") == 1
