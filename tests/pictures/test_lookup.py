"""Pictures: found, or fetched in one flight per picture that all who wait read from."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from proxy.domain.errors import ProxyError, UpstreamError
from proxy.domain.grant import Grant
from proxy.domain.keys import picture_key
from proxy.domain.picture import Picture
from proxy.domain.source import Source
from proxy.pictures.lookup import FoundPicture
from proxy.pictures.stream_buffer import StreamBuffer
from proxy.standin.faults import Drip, Hang, Says
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.harness.gateways import until
from tests.harness.steps import Steps, steps

CLIENT = "192.0.2.1"


async def granted(taken: Steps, name: str = "one.png") -> Grant:
    return (await taken.grants.find(taken.visitor(), taken.request(name))).grant


async def body(found: FoundPicture) -> bytes:
    """Read a picture to its end, complete or arriving."""
    if isinstance(found.picture, Picture):
        return found.picture.body
    return b"".join([chunk async for chunk in found.picture.chunks()])


async def test_a_picture_is_fetched_once_and_then_found(taken: Steps) -> None:
    grant = await granted(taken)
    first = await taken.pictures.find(grant, CLIENT)
    fetched = await body(first)
    second = await taken.pictures.find(grant, CLIENT)
    assert (first.source, second.source) == (Source.UPSTREAM, Source.MEMORY)
    assert isinstance(second.picture, Picture)
    assert (second.picture.body, second.picture.media_type) == (fetched, "image/png")
    assert second.picture.id == grant.picture


async def test_a_visitor_during_a_download_reads_the_same_one(taken: Steps) -> None:
    """And is told that somebody else had started it."""
    grant = await granted(taken)
    drip = Drip()
    taken.site.fail("fetch", drip, times=1)
    first = await taken.pictures.find(grant, CLIENT)
    second = await taken.pictures.find(grant, "192.0.2.2")
    assert first.picture is second.picture
    assert (first.collapsed, second.collapsed) == (False, True)
    drip.release(2)
    assert await body(first) == await body(second)
    assert taken.site.calls.count("fetch") == 1


async def test_its_head_is_known_before_its_last_byte(taken: Steps) -> None:
    """Type from the bytes, length and validator as announced."""
    grant = await granted(taken)
    drip = Drip()
    taken.site.fail("fetch", drip, times=1)
    drip.release()
    found = await taken.pictures.find(grant, CLIENT)
    assert isinstance(found.picture, StreamBuffer)
    head = await found.picture.opened()
    assert (head.media_type, head.version.strip('"')) == ("image/png", taken.site.calls.of("fetch")[0].target)
    drip.release()
    assert len(await body(found)) == head.length_bytes


@pytest.mark.parametrize(("size", "arrives"), [(3000, True), (3001, False)])
async def test_a_picture_may_weigh_so_much_and_no_more(site: StandIn, size: int, arrives: bool) -> None:
    picture = paint(1, 40, 30)
    picture += bytes(size - len(picture))
    async with AsyncExitStack() as stack:
        taken = await steps(site, stack, pictures={"max_bytes": 3000})
        grant = await granted(taken)
        site.fail("fetch", Says(picture, "image/png"), times=1)
        found = await taken.pictures.find(grant, CLIENT)
        if arrives:
            assert await body(found) == picture
        else:
            with pytest.raises(UpstreamError):
                await body(found)
        assert (taken.tiers.get_nowait(picture_key(grant.picture)) is not None) == arrives


async def test_no_more_pictures_than_the_limit_are_fetched_at_a_time(site: StandIn) -> None:
    async with AsyncExitStack() as stack:
        taken = await steps(site, stack, cloudreve={"max_fetches": 2})
        hang = Hang()
        site.fail("fetch", hang)
        grants = [await granted(taken, name) for name in ("one.png", "two.png", "three.png")]
        found = [await taken.pictures.find(grant, CLIENT) for grant in grants]
        await site.calls.arrived("fetch", 2)
        hang.until.set()
        assert len({await body(each) for each in found}) == 3
        assert site.calls.peak("fetch") == 2


async def test_a_failure_is_every_readers_and_the_next_one_starts_anew(taken: Steps) -> None:
    grant = await granted(taken)
    taken.site.fail("fetch", Says(b"rubbish", "image/png"), times=1)
    readers = [await taken.pictures.find(grant, CLIENT) for _ in range(3)]
    for reader in readers:
        with pytest.raises(ProxyError):
            await body(reader)
    await until(lambda: taken.metrics.registry.get_sample_value("thumb_proxy_upstream_calls_total", FAILED) == 1)
    assert await body(await taken.pictures.find(grant, CLIENT))
    assert taken.site.calls.count("fetch") == 2


FAILED = {"verb": "fetch", "outcome": "upstream"}


async def test_bytes_outlive_the_grant_that_brought_them(taken: Steps) -> None:
    await body(await taken.pictures.find(await granted(taken), CLIENT))
    taken.hours.pass_by(86_000)
    assert (await taken.pictures.find(await granted(taken), CLIENT)).source is Source.MEMORY
    taken.hours.pass_by(1000)
    assert (await taken.pictures.find(await granted(taken), CLIENT)).source is Source.UPSTREAM
