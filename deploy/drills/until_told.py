"""Drills that are told to end: SIGTERM ends their processes as well."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def until_told(work: Coroutine[Any, Any, T]) -> T:
    """Work until the end, or until SIGTERM: processes are ended either way."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task
