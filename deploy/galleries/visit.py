"""A first visit to a gallery over a slow line, in Chromium: how long until every picture is decoded."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

from deploy.benchmarks.table import Row
from tests.browser.chromium import Chromium, DevTools, connected
from tests.browser.page import Page, profile

BITS_PER_S = 10_000_000
LATENCY_MS = 40
MILLE = 1000
GOALS_S = {"<img>": 0.8, "API": 1.1}
PATH = "/first-visit"
HEIGHT = 3000
_DONE = "window.finished"
_SCRIPT = """
const images = Array.from({length: uris.length}, () => document.body.appendChild(new Image(200, 150)));
const address = async (uri) => {
  if (!throughApi) return `/thumb?uri=${encodeURIComponent(uri)}`;
  const told = await (await fetch(`/api/v4/file/thumb?uri=${encodeURIComponent(uri)}`)).json();
  return told.data.url;
};
Promise.all(images.map(async (image, at) => {
  image.src = await address(uris[at]);
  await image.decode();
})).then(() => { window.finished = performance.now(); }, (error) => { window.finished = `failed: ${error}`; });
"""


def page(uris: Sequence[str], *, through_api: bool) -> str:
    """Write a page that shows all pictures, by `<img>` or as Cloudreve's own page asks for them."""
    values = f"const uris = {json.dumps(list(uris))}, throughApi = {json.dumps(through_api)};"
    return f"<!doctype html><html lang=en><title>gallery</title><body><script>{values}{_SCRIPT}</script></html>"


class Visitor:
    """Visits with a browser that knows nothing yet, over a line of 10 Mbit/s and 40 ms."""

    def __init__(self, devtools: DevTools) -> None:
        self._devtools = devtools

    async def visit(self, origin: str, uris: Sequence[str], *, through_api: bool) -> tuple[float, int]:
        """Give the seconds from the navigation until all is decoded, and the bytes of the pictures."""
        async with profile(self._devtools) as fresh:
            tab = await fresh.page(height=HEIGHT)
            await _slowed(tab)
            await tab.put(f"{origin}{PATH}", page(uris, through_api=through_api))
            await tab.go(f"{origin}{PATH}")
            finished = await tab.until(_DONE)
            if str(finished).startswith("failed"):
                raise RuntimeError(f"{origin}: {finished}")
            return float(finished) / MILLE, sum(image.received_bytes for image in tab.traffic.images)


async def _slowed(tab: Page) -> None:
    rate = BITS_PER_S / 8
    line = {"latency": LATENCY_MS, "downloadThroughput": rate, "uploadThroughput": rate}
    await tab.send("Network.emulateNetworkConditions", offline=False, **line)


@asynccontextmanager
async def visitor(folder: Path) -> AsyncIterator[Visitor]:
    """Run a Chromium."""
    chromium = Chromium(folder)
    try:
        async with connected(chromium.start()) as devtools:
            yield Visitor(devtools)
    finally:
        chromium.stop()


def row(what: str, times_s: Sequence[float], alone_s: float, size_bytes: int) -> Row:
    """Hold the median of several visits against Cloudreve alone, and against the goal."""
    taken_s, goal_s = median(times_s), GOALS_S[what]
    return Row(
        f"first visit, all decoded, by {what}, {size_bytes / MILLE / MILLE:.2f} MB",
        f"{taken_s:.2f} s",
        f"{alone_s:.2f} s",
        f"{alone_s / taken_s:.1f} x",
        f"<= {goal_s} s",
        taken_s <= goal_s,
    )
