"""The metrics of several workers side by side."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from proxy.domain.source import Source
from proxy.observe.metrics import Metrics
from proxy.workers.merged_metrics import merged


def worker(hits: int, memory: float) -> bytes:
    metrics = Metrics()
    metrics.watch("memory_bytes", "Bytes", lambda: memory)
    metrics.found("grant", Source.MEMORY)
    for _ in range(hits):
        metrics.request("hit", 0.01, 100)
    return metrics.exposition()


def samples(exposition: bytes) -> dict[tuple[str, ...], float]:
    """Give each sample's value by its name and its labels' values."""
    families = text_string_to_metric_families(exposition.decode())
    return {(each.name, *sorted(each.labels.values())): each.value for family in families for each in family.samples}


def test_each_sample_says_whose_it_is() -> None:
    """Counters, gauges and histograms alike, and nothing is lost."""
    one, two = worker(1, 10.0), worker(2, 20.0)
    found = samples(merged({1: one, 2: two}))
    assert found["thumb_proxy_requests_total", "1", "hit"] == 1
    assert found["thumb_proxy_requests_total", "2", "hit"] == 2
    assert (found["thumb_proxy_memory_bytes", "1"], found["thumb_proxy_memory_bytes", "2"]) == (10.0, 20.0)
    assert found["thumb_proxy_request_seconds_count", "2", "hit"] == 2
    assert len(found) == len(samples(one)) + len(samples(two))


def test_each_family_is_told_once() -> None:
    """As Prometheus wants it: a type stands before all its samples."""
    lines = merged({1: worker(1, 1.0), 2: worker(1, 1.0)}).decode().splitlines()
    heads = [line for line in lines if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))


def test_nobody_has_nothing_to_tell() -> None:
    assert merged({}) == b""
