"""Warming that an operator orders while the gateway runs: one folder at a time, in the background."""

from __future__ import annotations

import asyncio

import structlog

from proxy.domain.file_uri import FileUri
from proxy.domain.warming import WarmOrder, WarmReply, WarmState
from proxy.warm.kit import Kit, told
from proxy.warm.walk import CredentialsOf
from proxy.warm.warmer import Progress

_log = structlog.get_logger("proxy.warm.jobs")


class WarmJobs:
    """Carries orders out, and remembers how the last one went."""

    def __init__(self, kit: Kit, at_a_time: int) -> None:
        self._kit = kit
        self._at_a_time = at_a_time
        self._progress = Progress()
        self._problem = ""
        self._task: asyncio.Task[None] | None = None

    async def begin(self, order: WarmOrder) -> WarmReply:
        """Begin, or say why not."""
        if self._task is not None and not self._task.done():
            return WarmReply("Another folder is being warmed.", is_busy=True)
        try:
            folder, bearer = self._kit.named(order.uri, order.account or None)
        except ValueError as error:
            return WarmReply(str(error))
        self._progress, self._problem = Progress(), ""
        work = self._warm(folder, bearer, is_recursive=order.recursive)
        self._task = asyncio.get_running_loop().create_task(work)
        return WarmReply()

    def state(self) -> WarmState | None:
        """Tell how far the last order has come; None where there was none."""
        if self._task is None:
            return None
        now = self._progress
        reason = next((text for text, _ in now.failed.most_common(1)), "")
        problem = self._problem or reason
        return WarmState(self._task.done(), now.found, now.done, now.without, now.failed.total(), problem)

    async def aclose(self) -> None:
        """End what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _warm(self, folder: FileUri, bearer: CredentialsOf | None, *, is_recursive: bool) -> None:
        _log.info("warming", ordered=True)
        try:
            await self._kit.warmer.warm(folder, self._at_a_time, self._progress, bearer, is_recursive=is_recursive)
        except* Exception as group:  # noqa: BLE001 - whatever it is, the status page tells its kind
            self._problem = told(group.exceptions[0])
            _log.warning("warming ended early", reason=self._problem, ordered=True)
        count = self._progress
        _log.info("warmed", kept=count.done, without_thumbnail=count.without, failed=count.failed.total(), ordered=True)
