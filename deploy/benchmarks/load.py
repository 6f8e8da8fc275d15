"""How hard a server is asked, and what that brings."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.benchmarks import asker, wrk
from deploy.benchmarks.measured import Measured


@dataclass(frozen=True, slots=True)
class Load:
    """So many connections, each asking again as soon as it has its answer, or about `delay_ms` later."""

    seconds: float
    connections: int = 32
    delay_ms: int = 0
    browsers: Sequence[str] = ()
    """The header lines of different browsers, one of which asks each time."""

    async def put_on(self, url: str, paths: Sequence[str], headers: Mapping[str, str] | None = None) -> Measured:
        """Ask for these paths, in no order."""
        put = wrk.put_on if shutil.which("wrk") and self.seconds >= 1 else asker.put_on
        return await put(url, paths, headers or {}, self.seconds, self.connections, self.delay_ms, self.browsers)


def tool() -> str:
    """Name what asks."""
    return "wrk" if shutil.which("wrk") else "an asyncio client, since wrk (of the package wrk) is not installed"
