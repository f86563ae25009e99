"""Totals, from facts alone."""

from __future__ import annotations

from cellserve.service.api.facts import RequestFact
from cellserve.service.engine.facts import IterationFact, SequenceFact, VersionKey
from cellserve.service.statistics import Durations, Statistics, VersionCounts

KEY = VersionKey("digits", 3)


def answered(key: VersionKey | None = KEY) -> RequestFact:
    return RequestFact(key, "2", "OK", None, 0.010, 0.002, 0.003, input_seconds=0.001, output_seconds=0.0005)


def test_an_answered_request_is_in_every_phase_and_a_failed_one_in_none() -> None:
    statistics = Statistics(clock=lambda: 1700000000.25)
    statistics.on_request(answered())
    statistics.on_request(answered())
    statistics.on_request(RequestFact(KEY, "2", "INVALID_ARGUMENT", "INVALID_INPUT", 0.004))
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
    for rows, seconds in ((1, 0.001), (4, 0.002), (4, 0.003)):
        statistics.on_iteration(IterationFact(KEY, "2", rows, 10, 10 * rows, seconds))
    for reason in ("done", "done", "cancelled", "failed"):
        statistics.on_sequence_end(SequenceFact(KEY, "2", reason, 10, 1, 0.0, 0.0))
    counts = statistics.of(KEY)
    assert counts.iterations == {1: Durations(1, 1_000_000), 4: Durations(2, 5_000_000)}
    assert counts.rows_done == 2


def test_a_request_to_no_version_is_nobodys() -> None:
    statistics = Statistics()
    statistics.on_request(answered(None))
    assert statistics.of(KEY) == VersionCounts()


def test_versions_are_apart_and_forgotten_apart() -> None:
    statistics, other = Statistics(), VersionKey("digits", 4)
    statistics.on_request(answered())
    statistics.on_request(answered(other))
    statistics.forget(KEY)
    assert statistics.of(KEY) == VersionCounts()
    assert statistics.of(other).success.count == 1


def test_what_was_read_does_not_change_later() -> None:
    statistics = Statistics()
    before = statistics.of(KEY)
    statistics.on_request(answered())
    first = statistics.of(KEY)
    statistics.on_request(answered())
    assert (before.success.count, first.success.count) == (0, 1)
