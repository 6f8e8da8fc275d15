"""Warms folders: at start those of the configuration, by `thumb-proxy warm` any."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from proxy.coalesce.work_locks import IS_AVAILABLE, WorkLocks
from proxy.domain.credentials import Credentials
from proxy.domain.errors import ProxyError
from proxy.domain.file_uri import parse
from proxy.domain.keys import site_digest
from proxy.identity.accounts import Accounts
from proxy.live_events.arrivals import Arrivals
from proxy.settings import MAX_FOLDER_BYTES, Settings
from proxy.warm.kit import Kit, told
from proxy.warm.walk import CredentialsOf
from proxy.warm.warmer import Progress, Warmer

SHARE = 4
"""One resolve in so many may be for a folder that is warmed."""

_log = structlog.get_logger("proxy.wiring.process")


@dataclass(frozen=True, slots=True)
class Warming:
    """The gateway's own steps, and whose eyes they may use."""

    warmer: Warmer
    accounts: Accounts
    settings: Settings
    arrivals: Arrivals
    has_tier: bool
    """Whether what is warmed outlives this process."""

    @property
    def kit(self) -> Kit:
        """Give what `thumb-proxy warm` needs."""
        return Kit(self.warmer, self.settings.server.max_uri_bytes, self.has_tier, self.bearer)

    @property
    def at_a_time(self) -> int:
        """Tell how many pictures may be asked for at a time, behind visitors."""
        return max(self.settings.cloudreve.max_resolves // SHARE, 1)

    def bearer(self, account: str) -> CredentialsOf | None:
        """Give the credentials of a configured account, by its e-mail address or number; None for another."""
        entries = self.settings.publish
        number = next((n for n, entry in enumerate(entries) if account in (entry.email, str(n + 1))), None)
        if number is None:
            return None

        async def credentials() -> Credentials:
            return Credentials((await self.accounts.visitor(number)).credentials.bearer)

        return credentials

    async def keep_warm(self) -> None:
        """Warm the published folders with `warm = true`, and for ever what comes into them later."""
        await asyncio.gather(self.published(), self.arrived())

    async def published(self) -> None:
        """Warm the published folders with `warm = true`, in one process of a machine."""
        locks = self._locks()
        if locks is not None and not locks.take("warm"):
            locks.close()
            return
        try:
            for number, entry in enumerate(self.settings.publish):
                if entry.warm:
                    await self._warm(number, entry.prefix)
        finally:
            if locks is not None:
                locks.close()

    async def arrived(self) -> None:
        """Warm what comes into these folders, for ever, in the process that hears of it."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.at_a_time):
                group.create_task(self._warm_arrivals())

    async def _warm_arrivals(self) -> None:
        while True:
            uri, progress = await self.arrivals.next(), Progress()
            await self.warmer.warm_file(uri, progress)
            if progress.without:  # it may be a folder
                try:
                    await self.warmer.warm(uri, 1, progress, is_recursive=True)
                except* ProxyError as group:
                    _log.info("what has come cannot be warmed", reason=told(group.exceptions[0]))

    async def _warm(self, number: int, prefix: str) -> None:
        progress, which = Progress(), {"publish": number + 1}
        _log.info("warming", **which)
        try:
            await self.warmer.warm(parse(prefix, MAX_FOLDER_BYTES), self.at_a_time, progress, is_recursive=True)
        except* ProxyError as group:
            _log.warning("warming ended early", reason=told(group.exceptions[0]), **which)
        failed = progress.failed.total()
        _log.info("warmed", kept=progress.done, without_thumbnail=progress.without, failed=failed, **which)

    def _locks(self) -> WorkLocks | None:
        folder = self.settings.disk.path
        if folder is None or not folder.is_dir() or not IS_AVAILABLE:
            return None
        return WorkLocks(folder / "work", site_digest(self.settings.site))
