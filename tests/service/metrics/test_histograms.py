"""Histograms with the samples of the Prometheus client's own."""

from __future__ import annotations

import math
from threading import Thread

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.samples import Exemplar

from cellserve.service.metrics.histograms import Histogram

BUCKETS = (0.5, 1.0, 2.5)


def histogram(registry: CollectorRegistry) -> Histogram:
    return Histogram("waits", "How long.", ("model", "version"), BUCKETS, registry)


@given(st.lists(st.lists(st.floats(0, 4) | st.sampled_from((*BUCKETS, math.inf)), max_size=20), max_size=4))
def test_the_page_is_that_of_the_prometheus_client_however_values_come(portions: list[list[float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = histogram(ours)
    reference = prometheus_client.Histogram("waits", "How long.", ("model", "version"), buckets=BUCKETS, registry=theirs)
    for values in portions:
        mine.labels("m", "1").add(values)
        for value in values:
            reference.labels("m", "1").observe(value)
    expected = [line for line in generate_latest(theirs).decode().splitlines() if "_created" not in line]
    assert generate_latest(ours).decode().splitlines() == expected


def test_series_are_removed_by_some_of_their_labels() -> None:
    registry = CollectorRegistry()
    waits = histogram(registry)
    for model, version in (("a", "1"), ("a", "2"), ("b", "1")):
        waits.labels(model, version).add([1.0])
    waits.remove_by_labels({"model": "a", "version": "1"})
    left = {(s.labels["model"], s.labels["version"]) for family in registry.collect() for s in family.samples}
    assert left == {("a", "2"), ("b", "1")}


def test_a_name_is_taken_once() -> None:
    registry = CollectorRegistry()
    histogram(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        histogram(registry)


def test_the_last_exemplar_of_each_bucket_is_shown_to_whoever_asks_for_openmetrics() -> None:
    registry = CollectorRegistry()
    series = histogram(registry).labels("m", "1")
    series.add([0.4, 0.7, 0.8])
    for value, name in ((0.4, "first"), (0.7, "second"), (0.8, "third")):
        series.exemplify(Exemplar({"trace_id": name}, value, 1000.0))
    page = openmetrics.generate_latest(registry).decode()
    assert 'le="0.5",model="m",version="1"} 1.0 # {trace_id="first"} 0.4 1000.0' in page
    assert 'le="1.0",model="m",version="1"} 3.0 # {trace_id="third"} 0.8 1000.0' in page
    assert "second" not in page
    assert "trace_id" not in generate_latest(registry).decode()


def test_no_value_is_lost_between_threads() -> None:
    registry = CollectorRegistry()
    series = histogram(registry).labels("m", "1")
    threads = [Thread(target=lambda: [series.add([1.0] * 3) for _ in range(1667)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counts, total, _ = series.snapshot()
    assert (sum(counts), total) == (20004, 20004.0)
