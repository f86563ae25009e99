"""Counts and summed durations of each version since it was loaded, for whoever asks for totals rather than series.

Fed by Metrics with the very facts that become its series, when these do, so that both always tell the same. Knows no protocol and
no metrics library.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from operator import attrgetter

from cellserve.service.api.facts import RequestFact
from cellserve.service.engine.facts import IterationFact, SequenceFact, VersionKey
from cellserve.service.metrics.group_by import group_by


@dataclass(slots=True)
class Durations:
    count: int = 0
    nanoseconds: int = 0

    def add(self, seconds: Sequence[float]) -> None:
        """One duration each."""
        self.count += len(seconds)
        self.nanoseconds += round(sum(seconds) * 1e9)


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
    """Adding and forgetting is for one thread at a time.

    settled: entered by whoever reads. All that was told is then added, and nothing is added or forgotten meanwhile.
    """

    def __init__(self, settled: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._settled = settled
        self._counts: dict[VersionKey, VersionCounts] = {}

    def of(self, key: VersionKey) -> VersionCounts:
        """A copy; zeros for a version of which nothing has been told. Safe on any thread."""
        with self._settled():
            return copy.deepcopy(self._counts.get(key, VersionCounts()))

    def forget(self, key: VersionKey) -> None:
        self._counts.pop(key, None)

    def add_iterations(self, key: VersionKey, facts: Sequence[IterationFact]) -> None:
        """All of this version, here and below."""
        iterations = self._of(key).iterations
        for rows, group in group_by(facts, attrgetter("rows")).items():
            iterations.setdefault(rows, Durations()).add([fact.seconds for fact in group])

    def add_sequences(self, key: VersionKey, facts: Sequence[SequenceFact]) -> None:
        self._of(key).rows_done += sum(fact.reason == "done" for fact in facts)

    def add_requests(self, key: VersionKey, facts: Sequence[RequestFact]) -> None:
        counts = self._of(key)
        answered = [fact for fact in facts if fact.answered]
        counts.fail.add([fact.seconds for fact in facts if not fact.answered])
        counts.success.add([fact.seconds for fact in answered])
        counts.compute_input.add([fact.input_seconds for fact in answered])
        counts.queue.add([seconds for fact in answered if (seconds := fact.queue_seconds) is not None])
        counts.compute_infer.add([seconds for fact in answered if (seconds := fact.compute_seconds) is not None])
        counts.compute_output.add([fact.output_seconds for fact in answered])
        if answered:
            last = round(1000 * max([fact.ended_unix_seconds for fact in answered]))
            counts.last_answer_unix_milliseconds = max(counts.last_answer_unix_milliseconds, last)

    def _of(self, key: VersionKey) -> VersionCounts:
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = VersionCounts()
        return counts
