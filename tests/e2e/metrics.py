"""Sums of a server's Prometheus page, for tests that hold other sources against it."""

from __future__ import annotations

import urllib.request
from collections import Counter
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one model, over its versions and implementations. Seconds are sums over `requests`."""

    requests: float
    request_seconds: float
    queue_seconds: float
    compute_seconds: float
    iterations: float

    def __sub__(self, before: Totals) -> Totals:
        return Totals(*(getattr(self, name) - getattr(before, name) for name in self.__slots__))


def scrape(metrics_url: str) -> str:
    with urllib.request.urlopen(metrics_url, timeout=30) as page:
        return str(page.read().decode())


def totals(metrics_url: str, model: str) -> Totals:
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(scrape(metrics_url)):
        for sample in family.samples:
            if sample.labels.get("model") == model:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return Totals(
        sums.get("cellserve_request_duration_seconds_count", 0.0),
        sums.get("cellserve_request_duration_seconds_sum", 0.0),
        sums.get("cellserve_queue_duration_seconds_sum", 0.0),
        sums.get("cellserve_compute_duration_seconds_sum", 0.0),
        sums.get("cellserve_iteration_duration_seconds_count", 0.0),
    )


def session_events(metrics_url: str, model: str) -> Counter[str]:
    """What has become of the live sequences of a model so far: how many times each event."""
    counts: Counter[str] = Counter()
    for family in text_string_to_metric_families(scrape(metrics_url)):
        for sample in family.samples:
            if sample.name == "cellserve_session_events_total" and sample.labels["model"] == model:
                counts[sample.labels["event"]] += int(sample.value)
    return counts
