"""Counts and summed durations of each version since it was loaded, for whoever asks for totals rather than series.

Fed by Metrics with the very facts that become its series, so that both always tell the same. Knows no protocol and no
metrics library.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from cellserve.service.api.facts import RequestFact
from cellserve.service.engine.facts import IterationFact, SequenceFact, VersionKey


@dataclass(slots=True)
class Durations:
    count: int = 0
    nanoseconds: int = 0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.nanoseconds += round(seconds * 1e9)


@dataclass(slots=True)
class VersionCounts:
    """Of one version. Each answered request is in every duration but `fail`, once.

    success, fail: requests, from the door to the reply. compute_input: checking and decoding. queue: before the first
    iteration. compute_infer: its share of its iterations. compute_output: making the reply.
    iterations: by rows, for each number of sequences that were advanced side by side.
    """

    success: Durations = field(default_factory=Durations)
    fail: Durations = field(default_factory=Durations)
    compute_input: Durations = field(default_factory=Durations)
    queue: Durations = field(default_factory=Durations)
    compute_infer: Durations = field(default_factory=Durations)
    compute_output: Durations = field(default_factory=Durations)
    iterations: dict[int, Durations] = field(default_factory=dict)
    rows_done: int = 0
    last_answer_unix_milliseconds: int = 0  # 0: none yet


class Statistics:
    """Safe on any thread. clock: seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = Lock()
        self._counts: dict[VersionKey, VersionCounts] = {}

    def of(self, key: VersionKey) -> VersionCounts:
        """A copy; zeros for a version of which nothing has been told."""
        with self._lock:
            return copy.deepcopy(self._counts.get(key, VersionCounts()))

    def forget(self, key: VersionKey) -> None:
        with self._lock:
            self._counts.pop(key, None)

    def on_iteration(self, fact: IterationFact) -> None:
        with self._lock:
            self._of(fact.version).iterations.setdefault(fact.rows, Durations()).add(fact.seconds)

    def on_sequence_end(self, fact: SequenceFact) -> None:
        if fact.reason == "done":
            with self._lock:
                self._of(fact.version).rows_done += 1

    def on_request(self, fact: RequestFact) -> None:
        if fact.version is None:
            return
        with self._lock:
            counts = self._of(fact.version)
            if fact.queue_seconds is None or fact.compute_seconds is None:
                counts.fail.add(fact.seconds)
                return
            counts.success.add(fact.seconds)
            counts.compute_input.add(fact.input_seconds)
            counts.queue.add(fact.queue_seconds)
            counts.compute_infer.add(fact.compute_seconds)
            counts.compute_output.add(fact.output_seconds)
            counts.last_answer_unix_milliseconds = round(1000 * self._clock())

    def _of(self, key: VersionKey) -> VersionCounts:
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = VersionCounts()
        return counts
