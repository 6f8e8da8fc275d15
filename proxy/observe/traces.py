"""Spans as traces of OpenTelemetry, sent by OTLP over HTTP; needs the extra `otel`.

A trace has the names, outcomes and fields of spans and nothing else: no File URI, no token, no URL. Answers of the
fast path have no spans, and so no traces.
"""

from __future__ import annotations

from contextvars import Token

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from proxy.observe.span import Kind, Span
from proxy.version import full_version

_KINDS = {
    Kind.REQUEST: trace.SpanKind.SERVER,
    Kind.STEP: trace.SpanKind.INTERNAL,
    Kind.CALL: trace.SpanKind.CLIENT,
}
_TRACEPARENT = "traceparent"


class Traces:
    """Sends spans in batches, from a thread; while nobody receives them they are dropped."""

    def __init__(self, endpoint: str, sample_ratio: float) -> None:
        about = Resource({SERVICE_NAME: "thumb-proxy", SERVICE_VERSION: full_version()})
        self._provider = TracerProvider(sampler=ParentBasedTraceIdRatio(sample_ratio), resource=about)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint)))
        self._tracer = self._provider.get_tracer("thumb-proxy")
        self._propagator = TraceContextTextMapPropagator()
        self._under_way: dict[Span, tuple[trace.Span, Token[Context]]] = {}

    def begin(self, span: Span) -> None:
        """Begin a span below the one that is current in this task, or below the one that a proxy has begun."""
        above = self._propagator.extract({_TRACEPARENT: str(span.fields.pop(_TRACEPARENT, ""))})
        parent = above if span.kind is Kind.REQUEST else None
        made = self._tracer.start_span(span.name, parent, _KINDS[span.kind])
        self._under_way[span] = made, context.attach(trace.set_span_in_context(made))

    def end(self, span: Span) -> None:
        """End it, with its outcome and its fields."""
        made, token = self._under_way.pop(span)
        made.set_attribute("outcome", span.outcome)
        made.set_attributes({name: value for name, value in span.fields.items() if value is not None})
        made.end()
        context.detach(token)

    def trace_fields(self) -> dict[str, str]:
        """Give the header field that names the current span."""
        fields: dict[str, str] = {}
        self._propagator.inject(fields)
        return fields

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()
