"""Tells how this process is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

from proxy.admin.history import STEP_S, History, Series
from proxy.admin.status import Report, Sample
from proxy.domain.warming import WarmState
from proxy.http.health import Health
from proxy.observe.failures import Failures
from proxy.observe.metrics import Metrics

_PREFIX = "thumb_proxy_"


class Reporter:
    """Reads the metrics of one process, and remembers those of an hour."""

    def __init__(
        self, metrics: Metrics, failures: Failures, health: Health, warming: Callable[[], WarmState | None]
    ) -> None:
        self._metrics = metrics
        self._failures = failures
        self._health = health
        self._warming = warming
        self._started = time.monotonic()
        self._history = History(self._started)

    async def follow(self) -> None:
        """Take the counters down for ever."""
        while True:
            await asyncio.sleep(STEP_S)
            self._history.remember(time.monotonic(), self._counters())

    def report(self) -> Report:
        """Tell how this process is now."""
        now = time.monotonic()
        return Report(
            is_ready=self._health.is_ready,
            troubles=tuple(self._health.troubles()),
            metrics=self._metrics.exposition(),
            uptime_s=now - self._started,
            span_s=self._history.span_s(now),
            rises=tuple(_sample(series, rise) for series, rise in self._history.rises(self._counters()).items()),
            gauges=tuple(_sample(series, value) for kind, series, value in self._samples() if kind == "gauge"),
            failures=tuple(self._failures.recent()),
            warming=self._warming(),
        )

    def _counters(self) -> Iterator[tuple[Series, float]]:
        return ((series, value) for kind, series, value in self._samples() if kind in ("counter", "histogram"))

    def _samples(self) -> Iterator[tuple[str, Series, float]]:
        for family in self._metrics.registry.collect():
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    name = sample.name.removeprefix(_PREFIX)
                    yield family.type, (name, tuple(sample.labels.items())), sample.value


def _sample(series: Series, value: float) -> Sample:
    name, labels = series
    return Sample(name, dict(labels), value)
