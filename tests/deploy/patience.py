"""Waiting for what happens in another process, which cannot tell us."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

POLL_S = 0.02
LONGEST_S = 120.0
"""On a busy machine a gateway of several processes takes most of a minute to start."""


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until it is so; TimeoutError when it takes too long."""
    async with asyncio.timeout(LONGEST_S):
        while not await is_so():  # noqa: ASYNC110 - see above
            await asyncio.sleep(POLL_S)
