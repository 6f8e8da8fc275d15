"""Variants: formats by `Accept`, sizes by query, one encode for all replicas, the original meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from proxy.pictures import variants
from proxy.pictures.encoders import Encoders
from proxy.standin.standin import StandIn
from tests.harness.gateways import ONE, GatewayClient, GatewayLauncher, Reply, in_share, statuses
from tests.harness.redis_server import RedisServer
from tests.harness.sites import thumb
from tests.pictures.photographs import opened

CHROMIUM = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


@pytest.fixture
async def cloudreve() -> AsyncIterator[StandIn]:
    """Run a stand-in with pictures as large as Cloudreve's."""
    async with StandIn(size=(400, 300)) as standin:
        yield standin


def image_of(reply: Reply) -> Image.Image:
    """Read a reply's picture, and check that its type is true."""
    assert reply.status == 200
    image = opened(reply.body)
    assert reply.headers["Content-Type"] == f"image/{(image.format or '').lower()}"
    return image


async def test_a_browser_gets_webp_and_others_get_what_they_got_before(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    """Again and again, each with an ETag of its own, one resolve and one fetch for all."""
    uri = in_share(cloudreve)
    png = await gateway.ask(uri)
    for _ in range(3):
        webp = await gateway.ask(uri, Accept=CHROMIUM)
        assert image_of(webp).format == "WEBP"
        for accept in ("*/*", "image/*", "image/png"):
            other = await gateway.ask(uri, Accept=accept)
            assert (other.body, other.etag) == (png.body, png.etag)
        assert webp.etag != png.etag
        assert len(webp.body) < len(png.body) / 2
        assert webp.headers["Vary"].split(", ").count("Accept") == 1
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 1)
    assert gateway.count("encodes_total", format="webp", outcome="done") == 1


async def test_a_client_without_accept_gets_what_it_got_before(cloudreve: StandIn, gateway: GatewayClient) -> None:
    png = await gateway.ask(in_share(cloudreve))
    assert image_of(await gateway.ask(in_share(cloudreve), Accept=CHROMIUM)).format == "WEBP"
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.running.port)
    head = f"GET {thumb(in_share(cloudreve))} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.endswith(b"\r\n\r\n" + png.body)


async def test_full_memory_drops_originals_before_the_variants_that_are_asked_for(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """By use: nobody asks for an original that has a variant."""
    gateway = await launcher.open(memory={"max_bytes": 600_000})
    _, uris = cloudreve.library.gallery(12)
    for uri in uris:
        assert image_of(await gateway.ask(uri, Accept=CHROMIUM)).format == "WEBP"
        for seen in uris[: uris.index(uri)]:
            assert (await gateway.ask(seen, Accept=CHROMIUM)).is_hit
    assert cloudreve.calls.count("fetch") == len(uris)
    assert not (await gateway.ask(uris[0])).is_hit
    assert cloudreve.calls.count("fetch") == len(uris) + 1


async def test_each_variant_has_its_own_validator(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """A 304 says that the very bytes are still good; the validator of another variant brings the variant."""
    uri = in_share(cloudreve)
    png, webp = await gateway.ask(uri), await gateway.ask(uri, Accept=CHROMIUM)
    assert (await gateway.ask(uri, Accept=CHROMIUM, etag=webp.etag)).status == 304
    assert (await gateway.ask(uri, etag=png.etag)).status == 304
    assert image_of(await gateway.ask(uri, Accept=CHROMIUM, etag=png.etag)).format == "WEBP"
    assert image_of(await gateway.ask(uri, etag=webp.etag)).format == "PNG"


@pytest.mark.parametrize(
    ("query", "size"), [("w=100", (100, 75)), ("w=90&h=90&fit=cover", (100, 100)), ("h=1200", (400, 300))]
)
async def test_a_size_is_an_own_variant(
    cloudreve: StandIn, gateway: GatewayClient, query: str, size: tuple[int, int]
) -> None:
    """For browsers in WebP, for others in the original's format."""
    path = f"{thumb(in_share(cloudreve))}&{query}"
    assert image_of(await gateway.send("GET", path)).size == size
    webp = await gateway.send("GET", path, {"Accept": CHROMIUM})
    assert (image_of(webp).size, image_of(webp).format) == (size, "WEBP")
    assert cloudreve.calls.count("fetch") == 1


async def test_a_size_out_of_the_steps_is_refused_before_anything_is_asked(
    cloudreve: StandIn, gateway: GatewayClient
) -> None:
    reply = await gateway.send("GET", f"{thumb(in_share(cloudreve))}&w=5000")
    assert (reply.status, "1600" in reply.problem["detail"]) == (400, True)
    assert cloudreve.calls.count("resolve") == 0


async def test_a_sealed_url_negotiates(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """One URL for all, so that Cloudreve's page profits unchanged; it carries the size that was asked for."""
    path = f"/api/v4/file/thumb?uri={ONE}"
    headers = {"Authorization": f"Bearer {cloudreve.token()}"}
    url, small = [
        json.loads((await gateway.send("GET", path + size, headers)).body)["data"]["url"] for size in ("", "&w=100")
    ]
    assert image_of(await gateway.send("GET", url)).format == "PNG"
    for _ in range(3):
        assert image_of(await gateway.send("GET", url, {"Accept": CHROMIUM})).format == "WEBP"
    assert image_of(await gateway.send("GET", small, {"Accept": CHROMIUM})).size == (100, 75)
    assert json.loads((await gateway.send("GET", f"{path}&w=0", headers)).body)["code"] == 40001


async def test_nobody_gets_a_variant_without_a_grant(cloudreve: StandIn, gateway: GatewayClient) -> None:
    """Bytes that are at hand show nothing to those who may not see the original."""
    assert (await gateway.ask(ONE, cloudreve.token(), Accept=CHROMIUM)).status == 200
    webp = await gateway.ask(ONE, cloudreve.token(), Accept=CHROMIUM)
    for token in (None, cloudreve.token("bob")):
        reply = await gateway.ask(ONE, token, Accept=CHROMIUM, etag=webp.etag)
        assert reply.status in (401, 404)


async def test_a_slow_encoder_shows_the_original_for_a_moment(
    cloudreve: StandIn, launcher: GatewayLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody keeps it for long; the work goes on, and the next visitor has the variant."""
    gateway, gate, encode = await launcher.open(pictures={"encode_wait_s": 0.05}), asyncio.Event(), Encoders.encode

    async def slowly(self: Encoders, *job: object) -> bytes:
        await gate.wait()
        return await encode(self, *job)  # type: ignore[arg-type]

    monkeypatch.setattr(Encoders, "encode", slowly)
    uri = in_share(cloudreve)
    for _ in range(3):
        meanwhile = await gateway.ask(uri, Accept=CHROMIUM)
        assert (image_of(meanwhile).format, meanwhile.max_age_s) == ("PNG", 5)
    gate.set()
    monkeypatch.undo()
    reply = await gateway.ask(uri, Accept=CHROMIUM)
    while image_of(reply).format == "PNG":
        reply = await gateway.ask(uri, Accept=CHROMIUM)
    assert reply.max_age_s > 3000
    assert gateway.count("encodes_total", format="webp", outcome="done") == 1


async def test_a_variant_that_is_hardly_smaller_is_not_kept(
    cloudreve: StandIn, gateway: GatewayClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original is shown, by its own name, and the encoder is not asked again."""
    monkeypatch.setattr(variants, "WORTH", 0.0)
    png = await gateway.ask(in_share(cloudreve))
    for _ in range(3):
        reply = await gateway.ask(in_share(cloudreve), Accept=CHROMIUM)
        assert (reply.body, reply.etag, reply.max_age_s > 3000) == (png.body, png.etag, True)
    assert (await gateway.ask(in_share(cloudreve), Accept=CHROMIUM, etag=png.etag)).status == 304
    assert gateway.count("encodes_total", format="webp", outcome="done") == 1


async def test_a_scaled_variant_never_takes_more_than_the_original(
    cloudreve: StandIn, gateway: GatewayClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original is shown then; a picture that is cut to a shape keeps its shape."""

    async def large(_: Encoders, body: bytes, *__: object) -> bytes:
        return body + bytes(1)

    monkeypatch.setattr(Encoders, "encode", large)
    png, path = await gateway.ask(in_share(cloudreve)), thumb(in_share(cloudreve))
    assert (await gateway.send("GET", f"{path}&w=1600", {"Accept": CHROMIUM})).etag == png.etag
    assert (await gateway.send("GET", f"{path}&w=100&h=100&fit=cover", {"Accept": CHROMIUM})).etag != png.etag


async def test_no_formats_keep_every_picture_as_it_is(cloudreve: StandIn, launcher: GatewayLauncher) -> None:
    """And answers do not vary by `Accept`."""
    gateway = await launcher.open(pictures={"formats": []})
    reply = await gateway.ask(in_share(cloudreve), Accept=CHROMIUM)
    assert image_of(reply).format == "PNG"
    assert "Accept" not in reply.headers["Vary"].split(", ")


async def test_a_hundred_visitors_of_three_replicas_cost_one_encode(
    cloudreve: StandIn, launcher: GatewayLauncher, redis_server: RedisServer
) -> None:
    """Of one cold picture in one format: one resolve, one fetch, one encode."""
    gateways = [
        await launcher.open(redis={"url": redis_server.url}, pictures={"encode_wait_s": 20.0}) for _ in range(3)
    ]
    uri = in_share(cloudreve)
    replies = await asyncio.gather(*(gateways[n % 3].ask(uri, Accept=CHROMIUM) for n in range(100)))
    assert statuses(replies) == [200] * 100
    assert {image_of(reply).format for reply in replies} == {"WEBP"}
    assert len({reply.etag for reply in replies}) == 1
    assert (cloudreve.calls.count("resolve"), cloudreve.calls.count("fetch")) == (1, 1)
    assert sum(gateway.count("encodes_total", format="webp", outcome="done") for gateway in gateways) == 1


async def test_a_foreign_picture_that_changes_changes_its_variants(
    cloudreve: StandIn, launcher: GatewayLauncher
) -> None:
    """The storage's own version decides, for variants as for the original."""
    cloudreve.foreign = True
    host = cloudreve.foreign_url.removeprefix("http://")
    gateway = await launcher.open(cloudreve={"image_hosts": [host]}, grants={"max_ttl_s": 20.0})
    uri = in_share(cloudreve)
    first = await gateway.ask(uri, Accept=CHROMIUM)
    assert image_of(await gateway.ask(uri, Accept=CHROMIUM)).format == "WEBP"
    cloudreve.library.put(cloudreve.library.alice, "/album/one.png")
    launcher.hours.pass_by(30)
    changed = await gateway.ask(uri, Accept=CHROMIUM)
    assert image_of(changed).format == "WEBP"
    assert (changed.etag != first.etag, changed.body != first.body) == (True, True)
