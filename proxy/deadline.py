"""How long a visitor is kept waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.errors import TooSlow


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Do what is inside in time, or raise TooSlow."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TooSlow("Cloudreve did not answer in time.") from error
