"""Quantiles from a metrics page, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from deploy.demo.scrape import HISTOGRAM, Latency, latencies


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    latency = Latency(requests=10, buckets={0.001: 2.0, 0.002: 6.0, 0.004: 10.0, math.inf: 10.0})
    assert latency.quantile_seconds(0.2) == pytest.approx(0.001)
    assert latency.quantile_seconds(0.4) == pytest.approx(0.0015)
    assert latency.quantile_seconds(0.8) == pytest.approx(0.003)


def test_empty_buckets_are_stepped_over() -> None:
    latency = Latency(requests=4, buckets={0.001: 0.0, 0.002: 0.0, 0.004: 4.0, math.inf: 4.0})
    assert latency.quantile_seconds(0.0) == pytest.approx(0.002)
    assert latency.quantile_seconds(0.5) == pytest.approx(0.003)


def test_the_unbounded_bucket_answers_its_lower_bound() -> None:
    latency = Latency(requests=2, buckets={1.0: 1.0, math.inf: 2.0})
    assert latency.quantile_seconds(0.99) == 1.0


def test_no_requests_have_no_quantile() -> None:
    assert math.isnan(Latency(requests=0, buckets={1.0: 0.0, math.inf: 0.0}).quantile_seconds(0.5))


def test_a_page_is_read_by_implementation_and_summed_over_versions() -> None:
    registry = CollectorRegistry()
    histogram = Histogram(
        HISTOGRAM, "Door to reply.", ["model", "version", "implementation"], buckets=(0.001, 0.01), registry=registry
    )
    for version, implementation, seconds in [("1", "0", 0.0005), ("2", "0", 0.005), ("2", "fused", 0.5)]:
        histogram.labels("digits", version, implementation).observe(seconds)
    histogram.labels("other", "1", "0").observe(0.5)

    found = latencies(generate_latest(registry).decode(), "digits")

    assert found == {
        "0": Latency(2, {0.001: 1.0, 0.01: 2.0, math.inf: 2.0}),
        "fused": Latency(1, {0.001: 0.0, 0.01: 0.0, math.inf: 1.0}),
    }
