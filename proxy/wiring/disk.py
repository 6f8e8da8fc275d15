"""Opens the tier on disk."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import structlog

from proxy.cache.disk_file import Unusable
from proxy.cache.disk_tier import DiskTier
from proxy.observe.metrics import Metrics
from proxy.settings import Settings
from proxy.upstream.clock import Clock

_log = structlog.get_logger("proxy.wiring.process")


async def open_disk(settings: Settings, clock: Clock, metrics: Metrics, stack: AsyncExitStack) -> DiskTier | None:
    """Open the tier of `disk.path`, to be closed with the stack; None where there is none that can be used."""
    if settings.disk.path is None:
        return None
    try:
        disk = await asyncio.to_thread(DiskTier.from_settings, settings, clock.ours)
    except Unusable as error:
        _log.warning("no disk tier", reason=str(error))
        return None
    stack.push_async_callback(disk.aclose)
    metrics.watch("disk_bytes", "Bytes that the entries of the disk tier take", lambda: disk.size_bytes)
    metrics.watch("disk_up", "1 while the disk is used, 0 after trouble", lambda: float(disk.is_up))
    return disk
