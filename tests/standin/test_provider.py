"""The storage provider: another host, presigned URLs, validators of its own."""

from __future__ import annotations

import pytest

from proxy.standin.faults import Half
from proxy.standin.standin import StandIn
from tests.harness.cloudreve_targets import Client


@pytest.fixture
async def url(cloudreve: StandIn, client: Client) -> str:
    cloudreve.foreign = True
    return (await client.resolve("cloudreve://my/album/one.png", client.target.alice)).url


async def test_urls_are_on_another_host_and_presigned(cloudreve: StandIn, client: Client, url: str) -> None:
    """The path stays, the query changes with time; type and validator are the bytes' own."""
    reply = await client.fetch(url)

    assert url.startswith(cloudreve.foreign_url + "/bucket/")
    assert cloudreve.foreign_url != cloudreve.own_url
    assert "X-Amz-Signature=" in url
    assert reply.body.startswith(b"\x89PNG")
    assert reply.headers["Content-Type"] == "image/png"
    assert reply.headers["Content-Length"] == str(len(reply.body))
    assert (await client.fetch(url, If_None_Match=reply.headers["ETag"])).status == 304


async def test_a_changed_object_has_another_validator(cloudreve: StandIn, client: Client, url: str) -> None:
    old = (await client.fetch(url)).headers["ETag"]
    cloudreve.library.repaint(cloudreve.library.file("/album/one.png"), b"\x89PNG\r\n\x1a\nother")

    assert (await client.fetch(url, If_None_Match=old)).body.endswith(b"other")


async def test_lengths_and_validators_can_be_missing(cloudreve: StandIn, client: Client, url: str) -> None:
    """As with providers that stream, or that have no ETags."""
    cloudreve.foreign_chunked, cloudreve.foreign_etags = True, False

    reply = await client.fetch(url)

    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert not {"Content-Length", "ETag"} & set(reply.headers)
    assert reply.body.startswith(b"\x89PNG")


async def test_validators_can_be_weak(cloudreve: StandIn, client: Client, url: str) -> None:
    cloudreve.foreign_weak = True

    weak = (await client.fetch(url)).headers["ETag"]

    assert weak.startswith('W/"')
    assert (await client.fetch(url, If_None_Match=weak)).status == 304


async def test_bad_links_are_refused_in_xml(cloudreve: StandIn, client: Client, url: str) -> None:
    """With a true status: tampered, expired, gone."""
    tampered = await client.fetch(url + "0")
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    gone = await client.fetch(url)
    cloudreve.clock_offset_s = 7200
    expired = await client.fetch(url)

    assert [reply.status for reply in (tampered, gone, expired)] == [403, 404, 403]
    assert {reply.headers["Content-Type"].partition(";")[0] for reply in (tampered, gone, expired)} == {
        "application/xml"
    }
    assert [call.code for call in cloudreve.calls.of("fetch")] == [403, 404, 403]


async def test_its_pictures_fail_like_cloudreve_s(cloudreve: StandIn, client: Client, url: str) -> None:
    cloudreve.fail("fetch", Half(), times=1)

    with pytest.raises(Exception, match=r"payload|reset|closed|peer"):
        await client.fetch(url)
    assert (await client.fetch(url)).status == 200


async def test_urls_can_start_with_another_provider_origin(cloudreve: StandIn, client: Client, url: str) -> None:
    cloudreve.foreign_origin = "https://bucket.example.com"

    again = await client.resolve("cloudreve://my/album/one.png", client.target.alice)

    assert again.url.startswith("https://bucket.example.com/bucket/")
    assert url.startswith("http://127.0.0.1")
