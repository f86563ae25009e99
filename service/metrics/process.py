"""What the process itself takes: memory, processor, descriptors, threads, and the pauses that garbage collection makes.

The Prometheus client tells most of it. Knows nothing of serving.
"""

from __future__ import annotations

import gc
import os
import time
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from math import inf
from typing import Any, Final

from prometheus_client import GCCollector, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

from cellserve.service.metrics.families import GC_PAUSES, THREADS

_GENERATIONS: Final = 3
_TASKS: Final = "/proc/self/task"


def show_process(registry: CollectorRegistry) -> GcPauses:
    """All of it, from now on; the pauses from when they are heard."""
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(_Threads())
    pauses = GcPauses()
    registry.register(pauses)
    return pauses


class _Threads(Collector):
    def collect(self) -> Iterable[Metric]:
        try:
            yield GaugeMetricFamily(THREADS.name, THREADS.text, value=len(os.listdir(_TASKS)))
        except OSError:  # a system without /proc tells nothing
            return

    def describe(self) -> Iterable[Metric]:
        return [GaugeMetricFamily(THREADS.name, THREADS.text)]


class GcPauses(Collector):
    """Listens from `listen` to `close`. Takes no lock: a collection may begin wherever memory is asked for, under a lock too."""

    def __init__(self) -> None:
        self._began_seconds = 0.0
        self._counts = [[0] * (len(GC_PAUSES.buckets) + 1) for _ in range(_GENERATIONS)]
        self._sums = [0.0] * _GENERATIONS

    def listen(self) -> None:
        gc.callbacks.append(self.heard)

    def close(self) -> None:
        """May be called twice, or without `listen`."""
        if self.heard in gc.callbacks:
            gc.callbacks.remove(self.heard)

    def heard(self, phase: str, info: dict[str, Any]) -> None:
        """As gc calls it: "start" and "stop", one collection at a time."""
        now = time.perf_counter()
        if phase == "start":
            self._began_seconds = now
            return
        if self._began_seconds == 0.0:  # heard from the middle of one on
            return
        generation = info["generation"]
        seconds = now - self._began_seconds
        self._counts[generation][bisect_left(GC_PAUSES.buckets, seconds)] += 1
        self._sums[generation] += seconds

    def describe(self) -> Iterable[Metric]:
        return [HistogramMetricFamily(GC_PAUSES.name, GC_PAUSES.text, labels=GC_PAUSES.labels)]

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(GC_PAUSES.name, GC_PAUSES.text, labels=GC_PAUSES.labels)
        ends = [str(floatToGoString(bound)) for bound in (*GC_PAUSES.buckets, inf)]  # type: ignore[no-untyped-call]
        for generation, counts in enumerate(self._counts):
            if any(counts):
                family.add_metric([str(generation)], list(zip(ends, accumulate(counts))), self._sums[generation])
        return [family]
