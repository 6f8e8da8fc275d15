"""A steady load of reads and writes on a tier whose Redis fails over: no call fails, none takes long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from proxy.cache.redis_tier import RedisTier
from proxy.domain.picture import Picture

TIMEOUT_S = 0.2
SLACK_S = 10.0
"""For a busy machine."""


def picture(number: int) -> Picture:
    """Make a picture that differs from all others."""
    return Picture(f"{number}", "image/png", "", bytes([number]) * 20_000)


@asynccontextmanager
async def load_on(tier: RedisTier, numbers: Iterable[int]) -> AsyncIterator[None]:
    """Let visitors set and get all the time, one for each number; every call is bounded, and no wrong bytes come."""
    stopped = asyncio.Event()

    async def visit(number: int) -> None:
        while not stopped.is_set():
            started = time.monotonic()
            await tier.set(f"p:{number}", picture(number), 600.0)
            found = await tier.get(f"p:{number}")
            assert time.monotonic() - started < 2 * TIMEOUT_S + SLACK_S
            assert found in (None, picture(number))
            await asyncio.sleep(0.005)

    visitors = asyncio.gather(*(visit(number) for number in numbers))
    try:
        yield
        assert not visitors.done()
    finally:
        stopped.set()
        await visitors
