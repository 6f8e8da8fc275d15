"""A fresh gallery that five viewers open at once, with one identity and with five, on every storage policy."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp

from deploy.drills.storage.asking import Visit, Visitor
from deploy.drills.storage.stage import Stage
from proxy.standin.painting import paint

PICTURES, VIEWERS = 40, 5
PER_VIEWER = 6
"""A browser opens so many connections."""


async def galleries(stage: Stage, kinds: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Give for each policy the statuses, with one identity and with five."""
    tokens = [owner.token for owner in stage.owners.values()][:VIEWERS]
    found = []
    for number, kind in enumerate(kinds):
        album = f"gallery-{number}"
        pictures = {f"{place}.png": paint(1000 * number + place, 800, 600) for place in range(PICTURES)}
        one = await stage.site.album(stage.owners[kind], f"{album}-one", pictures)
        five = await stage.site.album(stage.owners[kind], f"{album}-five", pictures)
        port = stage.plain.port
        found.append((kind, await _opened(port, one, [""] * VIEWERS), await _opened(port, five, tokens)))
    return found


async def _opened(port: int, uris: list[str], tokens: list[str]) -> str:
    """Let all viewers ask for all pictures at once."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        visits = await asyncio.gather(*(_viewed(Visitor(session, port, token), uris) for token in tokens))
    tally = Counter(visit.status for part in visits for visit in part)
    slowest = max(visit.seconds for part in visits for visit in part)
    return ", ".join(f"{many} x {status}" for status, many in sorted(tally.items())) + f" in {slowest:.1f} s"


async def _viewed(visitor: Visitor, uris: list[str]) -> list[Visit]:
    connections = asyncio.Semaphore(PER_VIEWER)

    async def one(uri: str) -> Visit:
        async with connections:
            return await visitor.visit(uri)

    return await asyncio.gather(*(one(uri) for uri in uris))
