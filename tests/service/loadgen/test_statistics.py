"""Figures from outcomes, by hand."""

import pytest

from cellserve.service.loadgen.outcomes import Outcome, Verdict
from cellserve.service.loadgen.statistics import length_class, summarize


def answered(due: float, latency: float, steps: int = 10, verdict: Verdict = Verdict.RIGHT) -> Outcome:
    return Outcome(due, due + latency / 2, due + latency, steps, verdict=verdict, answered_by="m/1 fused")


def test_counts_rates_and_reasons() -> None:
    summary = summarize(
        [
            answered(10.0, 0.5, steps=10),
            answered(11.0, 0.5, steps=30, verdict=Verdict.WRONG),
            answered(12.0, 2.0, steps=20, verdict=Verdict.UNCHECKED),
            Outcome(12.5, 12.5, 12.6, 99, error="OVERLOADED"),
        ]
    )
    assert (summary.requests, summary.answered) == (4, 3)
    assert (summary.right, summary.wrong, summary.unchecked) == (1, 1, 1)
    assert summary.errors == {"OVERLOADED": 1}
    assert summary.answered_by == {"m/1 fused": 3}
    assert summary.seconds == pytest.approx(4.0)
    assert summary.sequences_per_second == pytest.approx(3 / 4)
    assert summary.timesteps_per_second == pytest.approx(60 / 4)
    assert summary.offered_per_second == pytest.approx(3 / 2.5)


def test_percentiles_are_measured_latencies_counted_from_the_due_time() -> None:
    [row, _] = summarize([answered(float(i), (i + 1) / 1000) for i in range(1000)]).latencies
    percentiles = (row.p50_seconds, row.p90_seconds, row.p99_seconds, row.p999_seconds, row.max_seconds)
    assert percentiles == pytest.approx((0.5, 0.9, 0.99, 0.999, 1.0))


def test_classes_of_lengths_ascend_and_skip_the_empty() -> None:
    summary = summarize([answered(0, 1, steps=2000), answered(0, 3, steps=5), answered(0, 2, steps=16), answered(0, 9, steps=65)])
    assert [(row.lengths, row.count) for row in summary.latencies] == [("all", 4), ("1-16", 2), ("65-256", 1), ("over 1024", 1)]
    assert summary.latencies[1].max_seconds == 3


@pytest.mark.parametrize(("steps", "name"), [(1, "1-16"), (16, "1-16"), (17, "17-64"), (1024, "257-1024"), (1025, "over 1024")])
def test_class_borders(steps: int, name: str) -> None:
    assert length_class(steps) == name


@pytest.mark.parametrize(
    ("outcomes", "clean"),
    [
        ([answered(0, 1)], True),
        ([answered(0, 1, verdict=Verdict.UNCHECKED)], True),
        ([answered(0, 1), answered(0, 1, verdict=Verdict.WRONG)], False),
        ([answered(0, 1), Outcome(0, 0, 1, 5, error="DRAINING")], False),
        ([], False),
    ],
)
def test_clean_means_answered_and_nothing_wrong(outcomes: list[Outcome], clean: bool) -> None:
    assert summarize(outcomes).clean is clean
