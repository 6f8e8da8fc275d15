"""Metrics, in a registry of their own. Labels are outcomes and verbs, never anything a visitor brought."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from proxy.domain.source import Source
from proxy.observe.prometheus_private import observe_many
from proxy.observe.span import Kind, Span

_REQUEST_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ENCODE_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_UPSTREAM_BUCKETS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


@dataclass(slots=True)
class Tally:
    """Requests of one outcome on the fast path, counted as cheaply as can be."""

    count: int = 0
    """How many took no time: what the fast path takes by itself is far below the lowest bound."""
    sent_bytes: int = 0
    spent_s: float = 0.0
    """All others together."""
    others: list[int] = field(default_factory=lambda: [0] * (len(_REQUEST_BUCKETS_S) + 1))
    """How many of them there were in each bucket."""

    def add(self, seconds: float, sent_bytes: int) -> None:
        """Count a request that took time."""
        self.others[bisect_left(_REQUEST_BUCKETS_S, seconds)] += 1
        self.spent_s += seconds
        self.sent_bytes += sent_bytes

    def clear(self) -> None:
        """Begin anew."""
        self.count = self.sent_bytes = 0
        self.spent_s = 0.0
        self.others[:] = [0] * len(self.others)


class _Entry(Collector):
    """Enters what has been tallied, first of all when somebody looks."""

    def __init__(self, enter: Callable[[], None]) -> None:
        self._enter = enter

    def collect(self) -> Iterator[Metric]:
        self._enter()
        yield from ()


class _Total(Collector):
    """A counter that somebody else keeps."""

    def __init__(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        self._name = name
        self._documentation = documentation
        self._value = value

    def collect(self) -> Iterator[Metric]:
        yield CounterMetricFamily(self._name, self._documentation, value=self._value())


class Metrics:
    """Counters, gauges and histograms of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Entry(self._enter_tallies))
        r = self.registry
        ProcessCollector(namespace="thumb_proxy", registry=r)
        self._requests = Counter("thumb_proxy_requests", "Requests for thumbnails", ["outcome"], registry=r)
        self._request_s = Histogram(
            "thumb_proxy_request_seconds",
            "Time from request to last byte",
            ["outcome"],
            registry=r,
            buckets=_REQUEST_BUCKETS_S,
        )
        # Each request is counted several times, and to find its place takes as long as to count it.
        self._outcomes = cache(lambda outcome: (self._requests.labels(outcome), self._request_s.labels(outcome)))
        self._lookup = cache(lambda entry, source: self._lookups.labels(entry, source.value))
        self._tallies: defaultdict[tuple[str, Source, Source | None], Tally] = defaultdict(Tally)
        self._sent = Counter("thumb_proxy_sent_bytes", "Bytes of pictures sent to visitors", registry=r)
        self._fetched = Counter("thumb_proxy_fetched_bytes", "Bytes of pictures received from upstream", registry=r)
        self._calls = Counter("thumb_proxy_upstream_calls", "Calls to upstream", ["verb", "outcome"], registry=r)
        self._call_s = Histogram(
            "thumb_proxy_upstream_seconds",
            "Time of a call to upstream",
            ["verb"],
            registry=r,
            buckets=_UPSTREAM_BUCKETS_S,
        )
        self._collapsed = Counter(
            "thumb_proxy_collapsed", "Waiters that shared another's flight", ["flight"], registry=r
        )
        self._lookups = Counter(
            "thumb_proxy_lookups", "Where a grant or a picture was found", ["entry", "source"], registry=r
        )
        self._slot_s = Histogram(
            "thumb_proxy_slot_wait_seconds",
            "Time that work waited for a slot",
            ["queue"],
            registry=r,
            buckets=_UPSTREAM_BUCKETS_S,
        )
        self._waiting = Gauge("thumb_proxy_waiting", "Work that waits for a slot now", ["queue"], registry=r)
        self._cut_off = Counter("thumb_proxy_cut_off", "Connections of visitors that were cut", ["reason"], registry=r)
        self._encodes = Counter("thumb_proxy_encodes", "Variants encoded", ["format", "outcome"], registry=r)
        self._encode_s = Histogram(
            "thumb_proxy_encode_seconds", "Time of an encode", ["format"], registry=r, buckets=_ENCODE_BUCKETS_S
        )
        self._encode_original = Counter(
            "thumb_proxy_encode_original_bytes", "Bytes of the originals of kept variants", registry=r
        )
        self._encode_variant = Counter("thumb_proxy_encode_variant_bytes", "Bytes of kept variants", registry=r)
        self._redis_troubles = Counter("thumb_proxy_redis_troubles", "Trouble met with Redis", ["trouble"], registry=r)

    def request(self, outcome: str, seconds: float, sent_bytes: int) -> None:
        """Count one request for a thumbnail."""
        requests, request_s = self._outcomes(outcome)
        requests.inc()
        request_s.observe(seconds)
        self._sent.inc(sent_bytes)

    def tally(self, outcome: str, grant: Source, picture: Source | None) -> Tally:
        """Give where to count requests on the fast path; the sums are entered when somebody looks."""
        return self._tallies[outcome, grant, picture]

    def begin(self, span: Span) -> None:
        """Count nothing yet."""

    def end(self, span: Span) -> None:
        """Count calls to upstream, lookups, encodes and requests."""
        if span.kind is Kind.CALL:
            self._calls.labels(span.name, span.outcome).inc()
            self._call_s.labels(span.name).observe(span.seconds)
            self._fetched.inc(int(span.fields.get("received_bytes") or 0))
        elif span.name == "lookup" and "source" in span.fields:
            self.found(str(span.fields["entry"]), Source(str(span.fields["source"])))
            if span.fields["collapsed"]:
                self.collapsed(str(span.fields["entry"]))
        elif "sent_bytes" in span.fields:  # health and the like note none
            self.request(span.outcome, span.seconds, int(span.fields["sent_bytes"] or 0))
        elif span.name == "encode" and span.outcome in ("done", "failed"):
            self.encoded(span.outcome, str(span.fields["format"]), span.seconds)

    def collapsed(self, flight: str) -> None:
        """Count a waiter that shared a flight: of an identity, a grant or a picture."""
        self._collapsed.labels(flight).inc()

    def found(self, entry: str, source: Source) -> None:
        """Count where a grant or a picture was found."""
        self._lookup(entry, source).inc()

    def encoded(self, outcome: str, kind: str, seconds: float) -> None:
        """Count a job of an encoder process, `done` or `failed`, by the format or `look`."""
        self._encodes.labels(kind, outcome).inc()
        self._encode_s.labels(kind).observe(seconds)

    def saved(self, original_bytes: int, variant_bytes: int) -> None:
        """Count what a variant that is kept takes, and its original."""
        self._encode_original.inc(original_bytes)
        self._encode_variant.inc(variant_bytes)

    def redis_trouble(self, trouble: str) -> None:
        """Count what went wrong with Redis; no request fails of it."""
        self._redis_troubles.labels(trouble).inc()

    def cut_off(self, reason: str) -> None:
        """Count a visitor's connection that was cut."""
        self._cut_off.labels(reason).inc()

    def build(self, version: str, commit: str) -> None:
        """Name what is running."""
        Gauge("thumb_proxy_build_info", "Always 1", ["version", "commit"], registry=self.registry).labels(
            version, commit
        ).set(1)

    def waited(self, queue: str, seconds: float) -> None:
        """Count the time that work of a queue has waited for a slot."""
        self._slot_s.labels(queue).observe(seconds)

    def watch_queue(self, queue: str, length: Callable[[], float]) -> None:
        """Show how much work of a queue waits, read when asked."""
        self._waiting.labels(queue).set_function(length)

    def watch_total(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        """Show a count that somebody else keeps, read when asked."""
        self.registry.register(_Total(f"thumb_proxy_{name}", documentation, value))

    def watch(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        """Show a value that somebody else keeps, read when asked."""
        Gauge(f"thumb_proxy_{name}", documentation, registry=self.registry).set_function(value)

    def exposition(self) -> bytes:
        """Give everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def _enter_tallies(self) -> None:
        for (outcome, grant, picture), tally in self._tallies.items():
            requests, request_s = self._outcomes(outcome)
            number = tally.count + sum(tally.others)
            self._lookup("grant", grant).inc(number)
            if picture is not None:
                self._lookup("picture", picture).inc(number)
            requests.inc(number)
            tally.others[0] += tally.count
            observe_many(request_s, tally.others, tally.spent_s)
            self._sent.inc(tally.sent_bytes)
            tally.clear()
