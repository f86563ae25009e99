"""What a sequence takes at the very least, from others: never much more than the truth, and near it where there were such."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.costs.observed_durations import ObservedDurations


def after(*seen: tuple[int, float]) -> ObservedDurations:
    """seen: (steps, seconds), one after the other, at the time 0."""
    durations = ObservedDurations()
    for steps, seconds in seen:
        durations.observe(steps, seconds, 0.0)
    return durations


def test_nothing_is_known_at_first_and_little_from_few() -> None:
    assert after(*[(0, 0.0)] * 9).least_seconds(1000, 0.0) == 0
    assert after(*[(100, 1.0)] * 2).least_seconds(100, 0.0) == 0


def test_who_is_longer_takes_at_least_as_long_and_who_is_shorter_at_least_as_long_a_step() -> None:
    durations = after(*[(100, 1.0)] * 3)
    assert durations.least_seconds(50, 0.0) == 0.5
    assert durations.least_seconds(200, 0.0) == 2.0
    assert durations.least_seconds(100_000, 0.0) == 2.0


def test_the_fastest_of_a_length_counts_and_is_forgotten_slowly() -> None:
    seen = [(100, 3.0), (100, 1.0), (100, 3.0)]
    assert 1.0 < after(*seen).least_seconds(100, 0.0) < 1.1
    seen += [(100, 3.0)] * 40
    assert after(*seen).least_seconds(100, 0.0) == pytest.approx(3.0)
    assert after(*seen, (100, 0.5)).least_seconds(100, 0.0) == 0.5


def test_what_is_old_refuses_nobody() -> None:
    durations = after(*[(100, 1.0)] * 3)
    assert durations.least_seconds(100, 0.9) == 1.0
    assert durations.least_seconds(100, 1.1) == 0
    durations.observe(100, 1.0, 5.0)
    assert durations.least_seconds(100, 5.5) > 0


@given(
    st.floats(0, 1e-3),
    st.floats(1e-9, 1e-3),
    st.lists(st.tuples(st.integers(1, 10_000), st.floats(1, 50)), max_size=40),
    st.integers(1, 200_000),
)
def test_it_is_hardly_ever_above_the_truth(call: float, step: float, seen: list[tuple[int, float]], steps: int) -> None:
    """Late or not: one call more at most is counted, and a twentieth."""
    late = [(length, factor * (call + step * length)) for length, factor in seen]
    truth = [(length, call + step * length) for length, _ in seen for _ in range(100)]
    assert after(*late, *truth).least_seconds(steps, 0.0) <= 1.05 * (2 * call + step * steps) + 1e-12
