"""Metrics: what is counted under which label, and that no label is a visitor's."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.domain.errors import GrantRejected, Refused, TooSlow
from proxy.domain.refusal import Refusal, RefusalKind
from proxy.domain.source import Source
from proxy.observe.metrics import Metrics
from proxy.observe.span import Kind, Observer

LABELS = {"outcome", "verb", "flight", "entry", "reason", "source", "trouble", "le"}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Read one sample, as Prometheus would."""
    return metrics.registry.get_sample_value(f"thumb_proxy_{name}", labels)


def test_a_request_counts_once_with_its_time_and_its_bytes() -> None:
    metrics = Metrics()
    metrics.request("hit", 0.002, 20_000)
    metrics.request("hit", 40.0, 0)
    metrics.request("refused_not_found", 0.1, 0)
    assert value(metrics, "requests_total", outcome="hit") == 2
    assert value(metrics, "requests_total", outcome="refused_not_found") == 1
    assert value(metrics, "request_seconds_sum", outcome="hit") == 40.002
    assert value(metrics, "request_seconds_bucket", outcome="hit", le="0.0025") == 1
    assert value(metrics, "request_seconds_bucket", outcome="hit", le="30.0") == 1
    assert value(metrics, "sent_bytes_total") == 20_000


def test_tallied_hits_count_like_counted_ones() -> None:
    """With its time where it took any; each request once, however often somebody looks."""
    at_once, tallied = Metrics(), Metrics()
    tally = tallied.tally("hit", Source.MEMORY, Source.REDIS)
    for _ in range(2):
        for seconds in (0.0005, 0.002, 0.0025, 0.003, 40.0):
            at_once.request("hit", seconds, 20_000)
            tally.add(seconds, 20_000)
        at_once.request("hit", 0.0, 0)
        tally.count += 1
        for _ in range(6):
            at_once.found("grant", Source.MEMORY)
            at_once.found("picture", Source.REDIS)
        assert _counted(tallied) == _counted(at_once)


def _counted(metrics: Metrics) -> dict[tuple[str, str], float]:
    return {
        (sample.name, str(sorted(sample.labels.items()))): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created") and "_process_" not in sample.name
    }


def test_a_call_counts_under_what_its_maker_says() -> None:
    metrics = Metrics()
    with Observer(metrics).span("resolve", Kind.CALL) as call:
        call.outcome = "grant"
    assert value(metrics, "upstream_calls_total", verb="resolve", outcome="grant") == 1
    assert value(metrics, "upstream_seconds_count", verb="resolve") == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TooSlow("x"), "too_slow"),
        (GrantRejected("x"), "grant_rejected"),
        (Refused(Refusal(RefusalKind.FORBIDDEN, 403)), "refused_forbidden"),
        (ValueError("x"), "error"),
        (asyncio.CancelledError(), "error"),
    ],
)
def test_a_call_that_fails_counts_under_its_category_and_the_failure_goes_on(
    error: BaseException, outcome: str
) -> None:
    """One that we do not know is plainly an error, and its message is no label."""
    metrics = Metrics()
    with pytest.raises(type(error)) as caught, Observer(metrics).span("fetch", Kind.CALL):
        raise error
    assert caught.value is error
    assert value(metrics, "upstream_calls_total", verb="fetch", outcome=outcome) == 1
    assert value(metrics, "upstream_seconds_count", verb="fetch") == 1


def test_a_call_that_fails_after_its_outcome_was_told_counts_as_failed() -> None:
    metrics = Metrics()
    recording = Observer(metrics).span("fetch", Kind.CALL)
    recording.__enter__().outcome = "picture"
    error = TooSlow("x")
    recording.__exit__(TooSlow, error, None)
    assert value(metrics, "upstream_calls_total", verb="fetch", outcome="picture") is None


@pytest.mark.parametrize("source", Source)
def test_where_something_was_found_is_counted_by_tier(source: Source) -> None:
    metrics = Metrics()
    metrics.found("grant", source)
    assert value(metrics, "lookups_total", entry="grant", source=str(source.value)) == 1


def test_waiters_bytes_and_trouble_are_counted() -> None:
    metrics = Metrics()
    observer = Observer(metrics)
    with observer.span("lookup", entry="picture") as lookup:
        lookup.note(source="upstream", collapsed=True)
    for received_bytes in (7, 8):
        with observer.span("fetch", Kind.CALL) as call:
            call.note(received_bytes=received_bytes)
    metrics.redis_trouble("timeout")
    assert value(metrics, "lookups_total", entry="picture", source="upstream") == 1
    assert value(metrics, "collapsed_total", flight="picture") == 1
    assert value(metrics, "fetched_bytes_total") == 15
    assert value(metrics, "redis_troubles_total", trouble="timeout") == 1


def test_a_watched_value_is_read_when_it_is_asked_for() -> None:
    """Somebody else keeps it."""
    metrics, held = Metrics(), [1.0]
    metrics.watch("memory_bytes", "Bytes", lambda: held[0])
    held[0] = 2.0
    assert value(metrics, "memory_bytes") == 2.0


def test_two_processes_worth_of_metrics_do_not_mix() -> None:
    """Each has a registry of its own, so that tests and applications can be built twice."""
    one, other = Metrics(), Metrics()
    one.collapsed("grant")
    assert value(other, "collapsed_total", flight="grant") is None


def test_everything_is_told_in_prometheus_format_under_one_prefix_and_known_labels() -> None:
    """A label with a visitor's words in it would grow without end, and might be a secret."""
    metrics = Metrics()
    metrics.request("hit", 0.1, 1)
    metrics.found("grant", Source.REDIS)
    metrics.collapsed("grant")
    metrics.redis_trouble("timeout")
    metrics.cut_off("head")
    metrics.watch("redis_up", "1 when Redis answers", lambda: 1.0)
    with Observer(metrics).span("resolve", Kind.CALL) as call:
        call.outcome = "grant"
    families = list(text_string_to_metric_families(metrics.exposition().decode()))
    assert all(family.name.startswith("thumb_proxy_") and family.documentation for family in families)
    samples = [sample for family in families for sample in family.samples]
    assert {label for sample in samples for label in sample.labels} == LABELS
