"""While one storage hangs: how long pictures of others take, their thumbnails being there."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import NamedTuple

import aiohttp

from deploy.drills.storage.asking import Visitor
from deploy.drills.storage.stage import Stage
from proxy.standin.faults import Hang
from proxy.standin.painting import paint

HUNG, OTHERS = 45, 40
SETTLED_S = 1.5
PATIENCE_S = 1.0


class Neighbours(NamedTuple):
    """What pictures of others came to while one storage hung."""

    what: str
    kind: str
    """Of the others' storage policy."""
    came: int
    p99_s: float

    @property
    def is_right(self) -> bool:
        """Tell whether all came in time."""
        return self.came == OTHERS and self.p99_s <= PATIENCE_S

    @property
    def cells(self) -> tuple[str, ...]:
        """Tell it in a table."""
        return self.what, self.kind, f"{self.came} of {OTHERS}", f"{self.p99_s * 1000:.0f} ms"


async def neighbours(stage: Stage) -> list[Neighbours]:
    """Measure for each way of hanging and each other storage."""
    cases = [(what, kind) for what in ("originals", "pictures") for kind in ("local", "s3-other")]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        return [await _measured(stage, session, what, kind) for what, kind in cases]


async def _measured(stage: Stage, session: aiohttp.ClientSession, what: str, kind: str) -> Neighbours:
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
    seconds = sorted(visit.seconds for visit in visits)
    came = sum(visit.status == HTTPStatus.OK for visit in visits)
    return Neighbours(what, kind, came, seconds[int(len(seconds) * 0.99)])
