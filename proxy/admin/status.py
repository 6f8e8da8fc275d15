"""The report of each process, and the status page about all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from pydantic import SecretStr

from proxy.domain.warming import WarmState
from proxy.observe.failures import Failure
from proxy.settings import Settings
from proxy.version import full_version

FAILURES = 50
"""How many of the last failures are told."""


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One value of a metric."""

    name: str
    labels: dict[str, str]
    value: float


class Report(msgspec.Struct, frozen=True):
    """How one process is."""

    is_ready: bool
    troubles: tuple[str, ...] = ()
    metrics: bytes = b""
    """In Prometheus' text format."""
    uptime_s: float = 0.0
    span_s: float = 0.0
    """How far back `rises` reach, an hour at most."""
    rises: tuple[Sample, ...] = ()
    """How far counters have risen."""
    gauges: tuple[Sample, ...] = ()
    failures: tuple[Failure, ...] = ()
    """The last ones, the newest first."""
    warming: WarmState | None = None
    """How far the last order to warm a folder has come."""


class Page(msgspec.Struct, frozen=True):
    """The data of the page."""

    version: str
    workers: dict[int, bool]
    """Whether each process takes traffic; one that does not answer does not."""
    uptime_s: float
    troubles: tuple[str, ...]
    span_s: float
    rises: tuple[Sample, ...]
    """Of all workers together."""
    gauges: tuple[Sample, ...]
    """Of each worker, with its number in the label `worker`."""
    failures: tuple[Failure, ...]
    settings: dict[str, Any]
    warming: WarmState | None = None


def page(settings: Settings, reports: Mapping[int, Report | None]) -> Page:
    """Put together what all processes tell."""
    heard = {number: report for number, report in reports.items() if report is not None}
    failures = sorted((failure for report in heard.values() for failure in report.failures), key=_at, reverse=True)
    return Page(
        version=full_version(),
        workers={number: number in heard and heard[number].is_ready for number in reports},
        uptime_s=max((report.uptime_s for report in heard.values()), default=0.0),
        troubles=tuple(dict.fromkeys(trouble for report in heard.values() for trouble in report.troubles)),
        span_s=max((report.span_s for report in heard.values()), default=0.0),
        rises=tuple(_sums(sample for report in heard.values() for sample in report.rises)),
        gauges=tuple(
            Sample(sample.name, {**sample.labels, "worker": str(number)}, sample.value)
            for number, report in heard.items()
            for sample in report.gauges
        ),
        failures=tuple(failures[:FAILURES]),
        settings=shown(settings),
        warming=_newest(report.warming for report in heard.values()),
    )


def shown(settings: Settings) -> dict[str, Any]:
    """Give the settings in force by section and key; of secrets, accounts and published folders only what is set."""
    told = {section: _plain(value) for section, value in settings.model_dump().items()}
    if settings.watch.email is not None:
        told["watch"]["email"] = "(set)"
    return told | {"publish": [dict.fromkeys(entry, "(set)") for entry in told["publish"]]}


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a setting is
    match value:
        case SecretStr():
            return "(set)"
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case None | bool() | int() | float():
            return value
    return str(value)


def _sums(samples: Iterable[Sample]) -> Iterable[Sample]:
    sums: defaultdict[tuple[str, tuple[tuple[str, str], ...]], float] = defaultdict(float)
    for sample in samples:
        sums[sample.name, tuple(sample.labels.items())] += sample.value
    return (Sample(name, dict(labels), value) for (name, labels), value in sums.items())


def _newest(states: Iterable[WarmState | None]) -> WarmState | None:
    """Give the one that is under way, else any."""
    return min(filter(None, states), key=_is_over, default=None)


def _is_over(state: WarmState) -> bool:
    return state.is_over


def _at(failure: Failure) -> float:
    return failure.at
