"""Warnings of requests that failed: the first of a kind at once, its repetitions summed up."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

SUMMARY_S = 30.0
"""How long repetitions of a failure are counted before one line tells of all of them."""
KINDS = 256
"""So many kinds of failures are told apart; reasons of more are left out."""
RECENT = 50
"""So many kinds are remembered for the status page."""

_log = structlog.get_logger("proxy.http")


class Handle(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Call nothing."""


Later = Callable[[float, Callable[[], None]], Handle]
"""Calls a function in so many seconds, as a loop's `call_later` does."""


class Kind(NamedTuple):
    """The fields in which equal failures agree."""

    category: str
    reason: str
    code: int | None = None
    """Cloudreve's."""
    advice: str = ""
    storage: str = ""
    """Host, status and code of an image's storage."""


class Facts(NamedTuple):
    """The fields of the one request in the log; digests of file and visitor."""

    request_id: str | None = None
    route: str | None = None
    status: int | None = None
    correlation_id: str | None = None
    file: str | None = None
    visitor: str | None = None
    client: str | None = None


class Failure(msgspec.Struct, frozen=True):
    """A kind of failure, how often it has been met since the start, and the last request that met it."""

    at: float
    """Unix time in seconds."""
    count: int
    category: str
    reason: str
    code: int | None
    advice: str
    storage: str
    request_id: str | None
    route: str | None
    status: int | None
    correlation_id: str | None
    file: str | None
    visitor: str | None


@dataclass(slots=True)
class _Repeated:
    due: Handle
    count: int = 0
    last: Facts = field(default_factory=Facts)


class Failures:
    """Warns of failures. A storm of equal ones costs a line at once and one each `SUMMARY_S`."""

    def __init__(self, later: Later, now: Callable[[], float] = time.time) -> None:
        self._later = later
        self._now = now
        self._repeated: dict[Kind, _Repeated] = {}
        self._recent: OrderedDict[Kind, Failure] = OrderedDict()

    def tell(self, kind: Kind, facts: Facts) -> None:
        """Tell of a failure, now or in the next summary of its kind."""
        if kind not in self._repeated and len(self._repeated) >= KINDS:
            kind = Kind(kind.category, "", advice=kind.advice)
        self._remember(kind, facts)
        repeated = self._repeated.get(kind)
        if repeated is None:
            self._await(kind)
            _warn(kind, facts)
        else:
            repeated.count += 1
            repeated.last = facts

    def recent(self) -> Iterator[Failure]:
        """Give the kinds that were met last, the newest first."""
        return reversed(self._recent.values())

    def close(self) -> None:
        """Tell what has not been told."""
        for kind, repeated in self._repeated.items():
            repeated.due.cancel()
            if repeated.count:
                _warn(kind, repeated.last, count=repeated.count)
        self._repeated.clear()

    def _remember(self, kind: Kind, facts: Facts) -> None:
        before = self._recent.pop(kind, None)
        named = {name: value for name, value in facts._asdict().items() if name != "client"}
        count = before.count + 1 if before is not None else 1
        self._recent[kind] = Failure(at=self._now(), count=count, **kind._asdict(), **named)
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    def _await(self, kind: Kind) -> None:
        self._repeated[kind] = _Repeated(self._later(SUMMARY_S, lambda: self._sum_up(kind)))

    def _sum_up(self, kind: Kind) -> None:
        repeated = self._repeated.pop(kind)
        if repeated.count:
            self._await(kind)
            _warn(kind, repeated.last, count=repeated.count, over_s=int(SUMMARY_S))


def _warn(kind: Kind, facts: Facts, **counted: int) -> None:
    told: dict[str, Any] = kind._asdict() | facts._asdict() | counted
    advice = told.pop("advice")
    shown = {name: value for name, value in told.items() if value not in (None, "")}
    _log.warning("request failed", **shown, **({"advice": advice} if advice else {}))
