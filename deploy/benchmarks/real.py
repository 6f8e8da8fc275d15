"""A real Cloudreve: what a client waits for without us, and with."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from statistics import median

from deploy.benchmarks.exhibits import thumb
from deploy.benchmarks.stage import Stage, WrongAnswerError
from deploy.benchmarks.table import Row

TIMES = 100


@dataclass(frozen=True, slots=True)
class Real:
    """A picture that anybody may see."""

    stage: Stage
    url: str
    uri: str

    async def rows(self) -> AsyncIterator[Row]:
        """Measure the two steps directly, and one question to the gateway, in turn."""
        gateway = await self.stage.start_gateway(cloudreve=self.url)
        expected = await self._fetch(await self._resolve())
        direct, ours = [], []
        for _ in range(TIMES):
            started = time.perf_counter()
            body = await self._fetch(await self._resolve())
            direct.append(time.perf_counter() - started)
            started = time.perf_counter()
            same = await self._fetch(gateway.url + thumb(self.uri))
            ours.append(time.perf_counter() - started)
            if not body == same == expected:
                raise WrongAnswerError(f"{self.url} and the gateway give different pictures")
        yield Row(
            f"a real Cloudreve, {len(expected) / 1000:.0f} kB, median of {TIMES}",
            f"{median(ours) * 1000:.2f} ms",
            f"two steps {median(direct) * 1000:.2f} ms",
            f"{median(direct) / median(ours):.1f} x",
        )

    async def _resolve(self) -> str:
        asked = self.stage.session.get(f"{self.url}/api/v4/file/thumb", params={"uri": self.uri})
        async with asked as response:
            told = await response.json()
        if told["code"] != 0:
            raise WrongAnswerError(f"{self.url} does not grant it: {told['code']}")
        return str(told["data"]["url"])

    async def _fetch(self, url: str) -> bytes:
        async with self.stage.session.get(url) as response:
            return await response.read()
