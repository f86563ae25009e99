"""Histograms that count many values at once, where the Prometheus client takes two locks and walks through the buckets for each.
Shown to Prometheus as any other, sample for sample, once there is something in it: a server with many versions, each under
several implementations, would else show thousands of zeros.

Knows no names: what is measured is said by whoever makes them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from math import inf
from threading import Lock

from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString


class Distribution:
    """One series. Safe on any thread. bounds: upper ends of the buckets, rising; a value on an end is inside."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_lock", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)  # the last one is for what lies above all bounds
        self._sum = 0.0
        self._exemplars: dict[int, Exemplar] = {}  # the last of each bucket
        self._lock = Lock()

    def add(self, values: Iterable[float]) -> None:
        with self._lock:
            bounds, counts, total = self._bounds, self._counts, self._sum
            for value in values:
                counts[bisect_left(bounds, value)] += 1
                total += value
            self._sum = total

    def exemplify(self, exemplar: Exemplar) -> None:
        """Shows whoever asks for OpenMetrics one of the values that were added, until another one of its bucket is given."""
        with self._lock:
            self._exemplars[bisect_left(self._bounds, exemplar.value)] = exemplar

    @property
    def empty(self) -> bool:
        """Whether nothing has been added yet."""
        return not any(self._counts)

    def snapshot(self) -> tuple[list[int], float, dict[int, Exemplar]]:
        """Values in each bucket, not cumulated, their sum, and exemplars by bucket, of one moment."""
        with self._lock:
            return list(self._counts), self._sum, dict(self._exemplars)


class Histogram(Collector):
    """One family of distributions, by label values. Registers itself."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._text = text
        self._label_names = tuple(labels)
        self._bounds = tuple(buckets)
        self._ends = [str(floatToGoString(bound)) for bound in (*buckets, inf)]  # type: ignore[no-untyped-call]
        self._lock = Lock()
        self._children: dict[tuple[str, ...], Distribution] = {}
        registry.register(self)

    def labels(self, *values: str) -> Distribution:
        """The series of these label values, made at zero if need be."""
        with self._lock:
            child = self._children.get(values)
            if child is None:
                child = self._children[values] = Distribution(self._bounds)
            return child

    def remove_by_labels(self, labels: Mapping[str, str]) -> None:
        """Forgets every series that has all of these labels."""
        wanted = [(self._label_names.index(name), value) for name, value in labels.items()]
        with self._lock:
            self._children = {
                values: child
                for values, child in self._children.items()
                if not all(values[position] == value for position, value in wanted)
            }

    def describe(self) -> Iterable[HistogramMetricFamily]:
        return [self._family()]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        with self._lock:
            children = [(values, child) for values, child in self._children.items() if not child.empty]
        family = self._family()
        for values, child in children:
            counts, total, exemplars = child.snapshot()
            buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = [
                (end, count, exemplars[place]) if place in exemplars else (end, count)
                for place, (end, count) in enumerate(zip(self._ends, accumulate(counts)))
            ]
            family.add_metric(values, buckets, total)
        return [family]

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._name, self._text, labels=self._label_names)
