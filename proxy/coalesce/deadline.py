"""How long a visitor is kept waiting, and how long all of them are when the gateway leaves."""

from __future__ import annotations

import asyncio
from types import TracebackType

from proxy.domain.errors import TooSlow


class deadline:  # noqa: N801 - reads like `asyncio.timeout`, and is on everybody's way: contextlib would cost more
    """Do what is inside in time, or raise TooSlow."""

    def __init__(self, seconds: float) -> None:
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            error = late
        if isinstance(error, TimeoutError):
            raise TooSlow("Cloudreve did not answer in time.") from error


class Countdown:
    """Seconds that several share, one after the other; they begin to run when somebody says so."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: float | None = None

    def begin(self) -> None:
        """Let them run."""
        self._ends = asyncio.get_running_loop().time() + self._seconds

    @property
    def remaining_s(self) -> float:
        """Tell how many are left."""
        if self._ends is None:
            return self._seconds
        return max(self._ends - asyncio.get_running_loop().time(), 0.0)
