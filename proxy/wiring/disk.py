"""Opens the tier on disk, and lets the processes that have it share their work."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from proxy.cache.disk_file import Unusable, check_folder
from proxy.cache.disk_tier import DiskTier
from proxy.coalesce.local_singleflight import LocalSingleflight
from proxy.coalesce.machine_singleflight import MachineSingleflight
from proxy.coalesce.work_locks import IS_AVAILABLE, WorkLocks
from proxy.coalesce.work_sharing import WorkSharing
from proxy.domain.keys import site_digest
from proxy.domain.value_seal import ValueSeal
from proxy.grants.change_log import ChangeLog
from proxy.grants.file_log import FileLog
from proxy.settings import Settings, TemporarySeal
from proxy.wiring.parts import Parts

_log = structlog.get_logger("proxy.wiring.process")


async def open_disk(parts: Parts) -> DiskTier | None:
    """Open the tier of `disk.path`, to be closed with the stack; None where there is none that can be used."""
    settings, metrics = parts.settings, parts.metrics
    if settings.disk.path is None:
        return None
    try:
        disk = await asyncio.to_thread(DiskTier.from_settings, settings, parts.clock.ours)
    except Unusable as error:
        _log.warning("no disk tier", reason=str(error))
        parts.health.watch(lambda: ["The disk tier cannot be opened: the log says why at the start."])
        return None
    parts.stack.push_async_callback(disk.aclose)
    given_up = "The disk tier is given up until the next start"
    parts.health.watch(lambda: [] if disk.is_up else [f"{given_up}: {disk.trouble}."])
    metrics.watch("disk_bytes", "Bytes that the entries of the disk tier take", lambda: disk.size_bytes)
    metrics.watch("disk_max_bytes", "disk.max_bytes", lambda: float(settings.disk.max_bytes))
    metrics.watch("disk_up", "1 while the disk is used, 0 after trouble", lambda: float(disk.is_up))
    return disk


def share_work(settings: Settings, disk: DiskTier | None, stack: AsyncExitStack) -> WorkSharing:
    """Let one of the processes of one disk tier load what all of them want, where there is no Redis for that."""
    if settings.disk.path is None or disk is None or not IS_AVAILABLE:
        return LocalSingleflight()
    try:
        locks = WorkLocks(settings.disk.path / "work", site_digest(settings.site))
    except OSError as error:
        _log.warning("no shared work", reason=error.strerror)
        return LocalSingleflight()
    shared = MachineSingleflight(locks, disk, settings.server.deadline_s / 4)
    stack.push_async_callback(shared.aclose)
    return shared


def with_sign_outs_kept(settings: Settings) -> Settings:
    """Keep sign-outs in the directory of the disk tier where neither Redis nor another file is configured for them."""
    folder = settings.disk.path
    if settings.redis.url is not None or settings.session.state_path is not None or folder is None:
        return settings
    try:
        check_folder(folder)
    except (Unusable, OSError):
        return settings
    session = settings.session.model_copy(update={"state_path": folder / "sign-outs"})
    return settings.model_copy(update={"session": session})


def file_log(settings: Settings, stack: AsyncExitStack) -> ChangeLog | None:
    """Open the log of changes of all processes of one machine; None where there is no file that they share."""
    path = _log_path(settings)
    if path is None:
        if settings.seal.keys and not isinstance(settings.seal, TemporarySeal):
            _log.warning("no store: sealed URLs outlive a restart, and the purges and changes that ended them do not")
        return None
    log = FileLog(path, ValueSeal(settings.disk_keys))
    stack.callback(log.close)
    return log


def _log_path(settings: Settings) -> Path | None:
    folder, state = settings.disk.path, settings.session.state_path
    if folder is not None:
        return folder / "changes"
    return state.with_name(f"{state.name}.changes") if state is not None else None
