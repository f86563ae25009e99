"""Reads latencies off a metrics page: per implementation how many requests, and quantiles estimated from the buckets.

Knows the Prometheus text format and the name of one histogram; no server, no terminal.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from cellserve.service.overview.look import quantile

HISTOGRAM = "cellserve_request_duration_seconds"


@dataclass(frozen=True, slots=True)
class Latency:
    """The requests of one implementation. `buckets`: upper bound in seconds -> requests at or below it, ascending, to +Inf."""

    requests: int
    buckets: Mapping[float, float]

    def quantile_seconds(self, q: float) -> float:
        """The q-quantile, as Prometheus estimates it. Without requests: nan."""
        found = quantile(q, self.buckets)
        return math.nan if found is None else found


def latencies(page: str, model: str) -> dict[str, Latency]:
    """Implementation label -> latency, summed over the versions of `model` (and over any further labels)."""
    counts: dict[str, float] = defaultdict(float)
    buckets: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.labels.get("model") != model:
                continue
            implementation = sample.labels.get("implementation", "")
            if sample.name == f"{HISTOGRAM}_count":
                counts[implementation] += sample.value
            elif sample.name == f"{HISTOGRAM}_bucket":
                buckets[implementation][float(sample.labels["le"])] += sample.value
    return {label: Latency(int(count), dict(sorted(buckets[label].items()))) for label, count in counts.items()}
