"""`deploy/gallery`: measures with photographs, and prints one table."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from PIL import Image
from rich.console import Console

from deploy.benchmarks.load import Load
from deploy.benchmarks.table import Report, Row
from deploy.drills.gateway import Gateway
from deploy.drills.until_told import until_told
from deploy.galleries import fuzz, hit, miss, quality, visit
from deploy.galleries.gallery import Account, Gallery, gallery
from deploy.galleries.photographs import COUNT, SMALLEST, photographs
from proxy.domain.variant import Format
from proxy.standin.standin import StandIn

WIDTH = 320
DESCRIPTORS = 4096
KINDS = ("PNG", "JPEG", "GIF", "WEBP", "AVIF", "BMP")
VISITS = 5
_SMALL = (60, 45)

Rows = Callable[[Namespace, Path], AsyncIterator[Row]]


def main() -> int:
    """Read the command line and do as it says; 1 when a goal is missed."""
    parser = ArgumentParser(prog="deploy/gallery", description="Measures galleries of photographs. " + HELP)
    parser.add_argument("what", nargs="+", choices=sorted(WHAT), help="what to measure")
    parser.add_argument("--cloudreve", metavar="URL", default=os.environ.get("CLOUDREVE_URL", ""))
    parser.add_argument("--email", default="alice@example.org", help="whose folder the photographs go to, for a while")
    parser.add_argument("--password", default=os.environ.get("CLOUDREVE_PASSWORD", ""))
    parser.add_argument("--count", type=int, default=0, help="how many pictures (quality and visit 40, others more)")
    parser.add_argument("--rounds", type=int, default=VISITS, help="how often each visit is made (5)")
    asked = parser.parse_args()
    if {"quality", "visit"} & set(asked.what) and not (asked.cloudreve and asked.password):
        parser.error("quality and visit need a real Cloudreve: --cloudreve, --email and --password")
    return asyncio.run(until_told(_measured(asked)))


async def _measured(asked: Namespace) -> int:
    report, console = Report(), Console(width=WIDTH)
    with TemporaryDirectory(prefix="thumb-proxy-gallery-") as folder:
        for what in asked.what:
            async for row in WHAT[what](asked, Path(folder)):
                report.rows.append(row)
                console.print("  ".join(cell for cell in row.cells if cell), style="dim", highlight=False)
    console.print()
    report.show(console)
    return 1 if any(row.is_reached is False for row in report.rows) else 0


@asynccontextmanager
async def _gallery(asked: Namespace) -> AsyncIterator[Gallery]:
    account = Account(asked.cloudreve.rstrip("/"), asked.email, asked.password)
    async with gallery(account, photographs(asked.count or COUNT)) as opened:
        yield opened


@asynccontextmanager
async def _gateway(url: str, folder: Path, **settings: str) -> AsyncIterator[Gateway]:
    gateway = Gateway(url, folder / "gateway.log", DESCRIPTORS, **settings)
    await gateway.start()
    try:
        yield gateway
    finally:
        gateway.kill()


async def _quality(asked: Namespace, _: Path) -> AsyncIterator[Row]:
    async with _gallery(asked) as opened:
        for format_ in Format:
            yield quality.row(opened.thumbnails, quality.weighed(opened.thumbnails, format_, quality.ssim))


async def _visit(asked: Namespace, folder: Path) -> AsyncIterator[Row]:
    """Visit Cloudreve and the gateway in turn, once before to have everything warm."""
    site = asked.cloudreve.rstrip("/")
    async with (
        _gallery(asked) as opened,
        _gateway(site, folder, SERVER__PASSTHROUGH="true") as gateway,
        visit.visitor(folder / "chromium") as visitor,
    ):
        origin, times = f"http://127.0.0.1:{gateway.port}", {"alone": list[float](), **{w: [] for w in visit.GOALS_S}}
        size_bytes = 0
        for number in range(asked.rounds + 1):
            for what, where in (("alone", site), ("<img>", origin), ("API", origin)):
                taken_s, received = await visitor.visit(where, opened.uris, through_api=what != "<img>")
                if number:
                    times[what].append(taken_s)
                    size_bytes = received
        for what in visit.GOALS_S:
            yield visit.row(what, times[what], median(times["alone"]), size_bytes)


async def _miss(asked: Namespace, folder: Path) -> AsyncIterator[Row]:
    thumbnails = [_scaled(body, SMALLEST, "PNG") for body in photographs()]
    count = asked.count or 400
    async with StandIn() as cloudreve, _gateway(cloudreve.own_url, folder, MEMORY__MAX_BYTES="67108864") as gateway:
        origin = f"http://127.0.0.1:{gateway.port}"
        await miss.cold(cloudreve, origin, thumbnails[:4], "/before")  # connections and encoder process are there then
        cold = [thumbnails[number % len(thumbnails)] for number in range(count)]
        yield miss.row(await miss.cold(cloudreve, origin, cold))


async def _fuzz(asked: Namespace, folder: Path) -> AsyncIterator[Row]:
    bodies = [_scaled(body, _SMALL, kind) for body, kind in zip(photographs(len(KINDS)), KINDS, strict=True)]
    count = asked.count or 10_000
    async with StandIn() as cloudreve, _gateway(cloudreve.own_url, folder, **fuzz.SETTINGS) as gateway:
        yield fuzz.row(await fuzz.fuzz(cloudreve, gateway, bodies, count), count)


def _scaled(body: bytes, size: tuple[int, int], kind: str) -> bytes:
    out = BytesIO()
    Image.open(BytesIO(body)).resize(size).save(out, kind)
    return out.getvalue()


async def _hit(asked: Namespace, folder: Path) -> AsyncIterator[Row]:
    (photograph,) = photographs(1)
    async with StandIn() as cloudreve, _gateway(cloudreve.own_url, folder) as gateway:
        thumbnail, load = _scaled(photograph, SMALLEST, "PNG"), Load(2.0)
        yield await hit.hits(cloudreve, f"http://127.0.0.1:{gateway.port}", thumbnail, load, asked.rounds)


WHAT: dict[str, Rows] = {"fuzz": _fuzz, "hit": _hit, "miss": _miss, "quality": _quality, "visit": _visit}
HELP = (
    "quality: bytes and likeness (SSIM) of 40 photographs that a real Cloudreve has made thumbnails of. "
    "visit: a first visit to them in Chromium, over 10 Mbit/s and 40 ms. miss: what WebP adds to a cold miss. "
    "hit: hits of a variant against hits of an original. "
    "fuzz: 10,000 broken pictures, while the encoder process is killed and stopped."
)

if __name__ == "__main__":
    sys.exit(main())
