"""`deploy/gallery` on a small scale, with made pictures in the place of photographs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import ImageChops, ImageStat

from deploy.benchmarks.load import Load
from deploy.drills.gateway import Gateway
from deploy.galleries import fuzz, hit, miss, quality, visit
from proxy.domain.variant import Format
from proxy.standin.painting import paint
from proxy.standin.standin import StandIn
from tests.harness.gateways import in_share
from tests.pictures.photographs import opened, photograph, saved

KINDS = ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "BMP")


@asynccontextmanager
async def gateway_of(url: str, folder: Path, **settings: str) -> AsyncIterator[Gateway]:
    """Run a gateway as a process of its own."""
    gateway = Gateway(url, folder / "gateway.log", 4096, **settings)
    await gateway.start()
    try:
        yield gateway
    finally:
        gateway.kill()


@pytest.fixture
async def cloudreve() -> AsyncIterator[StandIn]:
    async with StandIn() as standin:
        yield standin


async def test_broken_pictures_fail_no_request(cloudreve: StandIn, tmp_path: Path) -> None:
    """While the encoder process is killed and stopped; the gateway stays as it is."""
    bodies = [saved(photograph(60, 45), kind) for kind in KINDS]
    async with gateway_of(cloudreve.own_url, tmp_path, **fuzz.SETTINGS) as gateway:
        findings = await fuzz.fuzz(cloudreve, gateway, bodies, 120)
    assert findings.is_good, findings
    assert min(findings.killed, findings.stopped, findings.shown["image/webp"], findings.shown["image/avif"]) > 0


async def test_hits_of_a_variant_are_held_against_hits_of_an_original(cloudreve: StandIn, tmp_path: Path) -> None:
    async with gateway_of(cloudreve.own_url, tmp_path) as gateway:
        row = await hit.hits(cloudreve, f"http://127.0.0.1:{gateway.port}", paint(1), Load(0.2, 2), rounds=1)
    assert row.what.startswith("hits of a WebP variant of ")
    assert cloudreve.calls.count("fetch") == 2


async def test_cold_misses_are_measured_in_turn(cloudreve: StandIn, tmp_path: Path) -> None:
    """Half of them as WebP, half as they came, none of a picture that was asked for before."""
    async with gateway_of(cloudreve.own_url, tmp_path) as gateway:
        thumbnails = [paint(number) for number in range(6)]
        taken = await miss.cold(cloudreve, f"http://127.0.0.1:{gateway.port}", thumbnails)
    assert (len(taken.as_webp), len(taken.as_it_came)) == (3, 3)
    assert cloudreve.calls.count("fetch") == 6
    assert "p50 and p99 of 3" in miss.row(taken).what


@pytest.mark.parametrize("format_", list(Format))
def test_a_format_is_held_against_size_and_likeness(format_: Format) -> None:
    thumbnails = [saved(photograph(seed=seed), "PNG") for seed in range(3)]
    row = quality.row(thumbnails, quality.weighed(thumbnails, format_, likeness))
    assert row.is_reached
    assert not quality.row(thumbnails, quality.weighed(thumbnails, format_, lambda *_: 0.9)).is_reached


def likeness(one: bytes, other: bytes) -> float:
    """Compare roughly: SSIM is a matter of scikit-image, which is not installed for tests."""
    difference = ImageChops.difference(opened(one).convert("RGB"), opened(other).convert("RGB"))
    means = ImageStat.Stat(difference).mean
    return 1.0 - sum(means) / len(means) / 255


@pytest.mark.needs("chromium")
async def test_a_first_visit_shows_every_picture(cloudreve: StandIn, tmp_path: Path) -> None:
    """By `<img>` and by the API, at Cloudreve and at the gateway."""
    uris = [in_share(cloudreve, name) for name in ("one.png", "two.png")]
    async with (
        visit.visitor(tmp_path / "chromium") as visitor,
        gateway_of(cloudreve.own_url, tmp_path) as gateway,
    ):
        origin = f"http://127.0.0.1:{gateway.port}"
        for where, through_api in ((origin, False), (origin, True), (cloudreve.own_url, True)):
            taken_s, size_bytes = await visitor.visit(where, uris, through_api=through_api)
            assert (taken_s > 0, size_bytes > 2 * 1000) == (True, True)
