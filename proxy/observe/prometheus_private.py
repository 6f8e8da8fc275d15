"""Every private name of prometheus-client that the gateway uses, and a check that they hold."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import Histogram


def observe_many(histogram: Histogram, counts: Sequence[int], total: float) -> None:
    """Add observations: how many fall into each bucket, and their sum. The library takes one at a time only."""
    for bucket, count in zip(histogram._buckets, counts, strict=True):
        bucket.inc(count)
    histogram._sum.inc(total)


def fault() -> str | None:
    """Tell what about these names is not as it should be; None where all is."""
    histogram = Histogram("trial", "On trial", buckets=(1.0,), registry=None)
    try:
        observe_many(histogram, (2, 1), 5.0)
    except (AttributeError, TypeError, ValueError) as error:
        return f"prometheus-client cannot count many observations at once ({type(error).__name__})"
    seen = [(sample.name, sample.value) for metric in histogram.collect() for sample in metric.samples]
    is_counted = ("trial_count", 3.0) in seen and ("trial_sum", 5.0) in seen
    return None if is_counted else "prometheus-client counts many observations at once otherwise than expected"
