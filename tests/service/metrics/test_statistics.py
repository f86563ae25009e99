"""Totals, from facts alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cellserve.service.api.facts import RequestFact
from cellserve.service.engine.facts import IterationFact, SequenceFact, VersionKey
from cellserve.service.metrics.statistics import Durations, Statistics, VersionCounts

KEY = VersionKey("digits", 3)


def answered(key: VersionKey = KEY, ended_unix_seconds: float = 1700000000.25) -> RequestFact:
    return RequestFact(key, "2", "OK", None, 0.010, 0.002, 0.003, 0.001, 0.0005, ended_unix_seconds)


def test_an_answered_request_is_in_every_phase_and_a_failed_one_in_none() -> None:
    statistics = Statistics()
    failed = RequestFact(KEY, "2", "INVALID_ARGUMENT", "INVALID_INPUT", 0.004, ended_unix_seconds=1800000000.0)
    statistics.add_requests(KEY, [answered(), failed])
    statistics.add_requests(KEY, [answered(ended_unix_seconds=1600000000.0)])  # told late
    counts = statistics.of(KEY)
    assert counts.success == Durations(2, 20_000_000)
    assert counts.queue == Durations(2, 4_000_000)
    assert counts.compute_infer == Durations(2, 6_000_000)
    assert counts.compute_input == Durations(2, 2_000_000)
    assert counts.compute_output == Durations(2, 1_000_000)
    assert counts.fail == Durations(1, 4_000_000)
    assert counts.last_answer_unix_milliseconds == 1700000000250


def test_iterations_are_counted_by_rows_and_only_finished_rows_as_done() -> None:
    statistics = Statistics()
    iterations = ((1, 0.001), (4, 0.002), (4, 0.003))
    statistics.add_iterations(KEY, [IterationFact(KEY, "2", rows, 10, 10 * rows, seconds) for rows, seconds in iterations])
    statistics.add_iterations(KEY, [IterationFact(KEY, "2", 4, 10, 40, 0.001)])
    reasons = ("done", "done", "cancelled", "failed")
    statistics.add_sequences(KEY, [SequenceFact(KEY, "2", reason, 10, 1, 0.0, 0.0) for reason in reasons])
    counts = statistics.of(KEY)
    assert counts.iterations == {1: Durations(1, 1_000_000), 4: Durations(3, 6_000_000)}
    assert counts.rows_done == 2


def test_versions_are_apart_and_forgotten_apart() -> None:
    statistics, other = Statistics(), VersionKey("digits", 4)
    statistics.add_requests(KEY, [answered()])
    statistics.add_requests(other, [answered(other)])
    statistics.forget(KEY)
    assert statistics.of(KEY) == VersionCounts()
    assert statistics.of(other).success.count == 1


def test_what_was_read_does_not_change_later() -> None:
    statistics = Statistics()
    before = statistics.of(KEY)
    statistics.add_requests(KEY, [answered()])
    first = statistics.of(KEY)
    statistics.add_requests(KEY, [answered()])
    assert (before.success.count, first.success.count) == (0, 1)


def test_whoever_reads_has_everything_added_first() -> None:
    @contextmanager
    def settled() -> Iterator[None]:
        statistics.add_requests(KEY, [answered()])
        yield
        statistics.add_requests(KEY, [answered()])  # what was told while the other read

    statistics = Statistics(settled)
    assert statistics.of(KEY).success.count == 1
    assert statistics.of(KEY).success.count == 3
