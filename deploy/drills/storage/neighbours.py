"""While one storage hangs: how long pictures of others take, their thumbnails being there."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from deploy.drills.storage.asking import Visit, Visitor
from deploy.drills.storage.stage import Stage
from proxy.standin.faults import Hang
from proxy.standin.painting import paint

HUNG, OTHERS = 45, 40
SETTLED_S = 1.5


async def neighbours(stage: Stage) -> list[tuple[str, str, str]]:
    """Give for each way of hanging and each other storage how many pictures came, and their 99th percentile."""
    cases = [(what, kind) for what in ("originals", "pictures") for kind in ("local", "s3-other")]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        return [(f"{what} hang", kind, await _measured(stage, session, what, kind)) for what, kind in cases]


async def _measured(stage: Stage, session: aiohttp.ClientSession, what: str, kind: str) -> str:
    nobody, somebody = (Visitor(session, stage.plain.port, token) for token in ("", stage.site.admin))
    name, front = f"{what}-{kind}-{time.time_ns()}", stage.fronts["s3"]
    hung = await stage.site.album(
        stage.owners["s3"], f"hung-{name}", {f"{place}.png": paint(place + 7, 320, 240) for place in range(HUNG)}
    )
    others = await stage.site.album(
        stage.owners[kind], f"well-{name}", {f"{place}.png": paint(place + 9, 320, 240) for place in range(OTHERS)}
    )
    made = others + (hung if what == "pictures" else [])
    await asyncio.gather(*(somebody.visit(uri) for uri in made))  # the thumbnails are there; nobody has no grants yet
    if what == "originals":
        front.originals = Hang()
    else:
        front.fault = Hang()
    waiting = [asyncio.create_task(nobody.visit(uri)) for uri in hung]
    await asyncio.sleep(SETTLED_S)
    visits = [await nobody.visit(uri) for uri in others]
    front.mend()
    await asyncio.gather(*waiting)
    return _told(visits)


def _told(visits: list[Visit]) -> str:
    seconds = sorted(visit.seconds for visit in visits)
    well = sum(visit.status == 200 for visit in visits)  # noqa: PLR2004
    return f"{well} of {len(visits)}, 99 % within {seconds[int(len(seconds) * 0.99)] * 1000:.0f} ms"
