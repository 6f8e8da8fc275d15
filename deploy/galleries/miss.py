"""What a format adds to a cold miss: one picture after the other, as WebP and as it came, in turn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

import aiohttp

from deploy.benchmarks.table import Row
from proxy.standin.standin import StandIn

GOAL_MS, GOAL_P99_MS = 10, 30
MILLE = 1000


@dataclass(frozen=True, slots=True)
class Taken:
    """Seconds of cold misses, by what was asked for."""

    as_webp: list[float]
    as_it_came: list[float]


async def cold(cloudreve: StandIn, origin: str, thumbnails: Sequence[bytes], folder: str = "/cold") -> Taken:
    """Ask for pictures that nobody has asked for, every other one as WebP."""
    library, taken = cloudreve.library, Taken([], [])
    share = library.publish(library.alice, folder).id
    async with aiohttp.ClientSession() as session:
        for number, body in enumerate(thumbnails):
            library.put(library.alice, f"{folder}/{number}.png", thumbnail=body)
            is_webp = number % 2 == 1
            accept, times_s = ("image/webp", taken.as_webp) if is_webp else ("*/*", taken.as_it_came)
            uri = f"cloudreve://{share}@share/{number}.png"
            started = time.perf_counter()
            async with session.get(f"{origin}/thumb", params={"uri": uri}, headers={"Accept": accept}) as response:
                await response.read()
            times_s.append(time.perf_counter() - started)
            if response.content_type != ("image/webp" if is_webp else "image/png"):
                raise RuntimeError(f"{response.status} {response.content_type}")
    return taken


def row(taken: Taken) -> Row:
    """Hold the difference against the goal: of the medians, and of the slowest in a hundred."""
    added_ms = (median(taken.as_webp) - median(taken.as_it_came)) * MILLE
    added_p99_ms = (_p99(taken.as_webp) - _p99(taken.as_it_came)) * MILLE
    return Row(
        f"added to a cold miss by WebP, p50 and p99 of {len(taken.as_webp)}",
        f"{added_ms:.1f} and {added_p99_ms:.1f} ms",
        f"{median(taken.as_it_came) * MILLE:.1f} and {_p99(taken.as_it_came) * MILLE:.1f} ms without",
        goal=f"<= {GOAL_MS} and {GOAL_P99_MS} ms",
        is_reached=added_ms <= GOAL_MS and added_p99_ms <= GOAL_P99_MS,
    )


def _p99(times_s: list[float]) -> float:
    return quantiles(times_s, n=100)[-1]
