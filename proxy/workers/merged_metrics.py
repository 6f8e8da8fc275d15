"""The metrics of several workers in one exposition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector


def merged(expositions: Mapping[int, bytes]) -> bytes:
    """Put the workers' metrics together, each with a label `worker`.

    They are not added up: a sum falls when one worker starts anew, and to Prometheus that means that all have.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Merged(expositions))
    return generate_latest(registry)


@dataclass(frozen=True, eq=False)
class _Merged(Collector):
    expositions: Mapping[int, bytes]

    def collect(self) -> Iterator[Metric]:
        """Give every family once, with the samples of all."""
        families: dict[str, Metric] = {}
        for worker, exposition in self.expositions.items():
            for family in text_string_to_metric_families(exposition.decode()):
                whole = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    whole.add_sample(sample.name, {**sample.labels, "worker": str(worker)}, sample.value)
        yield from families.values()
