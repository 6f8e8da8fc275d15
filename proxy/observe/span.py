"""Spans: each step of a request says once what it does and how it ends; metrics, log and traces listen.

with observer.span("fetch", Kind.CALL) as span:
...
span.outcome = "picture"
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum, auto
from types import TracebackType
from typing import Protocol, Self

from proxy.domain.errors import ProxyError

Field = str | int | float | bool | None


class Kind(Enum):
    """The kinds of spans."""

    REQUEST = auto()
    """A visitor's request, from its head to the last byte of its answer."""
    STEP = auto()
    """A step of the gateway's own: identify, authorise, picture, encode, respond."""
    CALL = auto()
    """A call to upstream, named by its verb: resolve, fetch, whoami."""


class Span:
    """One step, to be used once in a `with`. Never holds tokens, File URIs or signed URLs."""

    __slots__ = ("_listeners", "_started", "fields", "kind", "name", "outcome", "seconds")

    def __init__(self, listeners: tuple[Listener, ...], name: str, kind: Kind, fields: dict[str, Field]) -> None:
        self._listeners = listeners
        self._started = 0.0
        self.name = name
        self.kind = kind
        self.fields = fields
        self.outcome = ""
        """How it ended. Where nothing else is said: `ok`, the category of a ProxyError, or `error`."""
        self.seconds = 0.0
        """How long it took; known at its end."""

    def note(self, **fields: Field) -> None:
        """Add what has been found out since the span's begin."""
        self.fields.update(fields)

    @property
    def elapsed_s(self) -> float:
        """Tell how long it has been going on."""
        return time.perf_counter() - self._started

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        for listener in self._listeners:
            listener.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = self.elapsed_s
        if error is not None:
            self.outcome = error.category if isinstance(error, ProxyError) else self.outcome or "error"
        self.outcome = self.outcome or "ok"
        for listener in self._listeners:
            listener.end(self)


class Listener(Protocol):
    """Hears of every span. Begin and end come from the same task, the end of a span after those of the spans in it."""

    def begin(self, span: Span) -> None:
        """Take note that a span begins: its name, its kind, and the fields that are known."""

    def end(self, span: Span) -> None:
        """Take note that it has ended: its outcome, its time, and all fields."""


class Observer:
    """Makes spans."""

    def __init__(self, *listeners: Listener, trace_fields: Callable[[], dict[str, str]] = dict) -> None:
        self._listeners = listeners
        self.trace_fields = trace_fields
        """Gives the header fields by which a call to Cloudreve takes the current trace along (W3C Trace Context)."""

    def span(self, name: str, kind: Kind = Kind.STEP, **fields: Field) -> Span:
        """Make the span of a step that is about to begin."""
        return Span(self._listeners, name, kind, fields)
