"""Spans as lines of the log, at level debug."""

from __future__ import annotations

import structlog

from proxy.observe.span import Span

_log = structlog.get_logger("proxy.span")


class SpanLog:
    """Writes a line at the end of each span."""

    def begin(self, span: Span) -> None:
        """Write nothing yet."""

    def end(self, span: Span) -> None:
        """Write what is known."""
        _log.debug("span", span=span.name, outcome=span.outcome, ms=round(span.seconds * 1000, 2), **span.fields)
