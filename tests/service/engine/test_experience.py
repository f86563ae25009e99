"""What a sequence takes at the very least, from others: never more than the truth, and near it where there were such."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.experience import Experience


def test_nothing_is_known_at_first() -> None:
    experience = Experience()
    experience.observe(0, 0.0)
    assert experience.least_seconds(1000) == 0


def test_who_is_longer_takes_at_least_as_long_and_who_is_shorter_at_least_as_long_a_step() -> None:
    experience = Experience()
    experience.observe(100, 1.0)
    assert experience.least_seconds(50) == 0.5
    assert experience.least_seconds(200) == 2.0
    assert experience.least_seconds(100_000) == 2.0


def test_the_fastest_of_a_length_counts_and_is_forgotten_slowly() -> None:
    experience = Experience()
    experience.observe(100, 1.0)
    experience.observe(100, 3.0)
    assert 1.0 < experience.least_seconds(100) < 1.1
    for _ in range(40):
        experience.observe(100, 3.0)
    assert abs(experience.least_seconds(100) - 3.0) < 1e-9
    experience.observe(100, 0.5)
    assert experience.least_seconds(100) == 0.5


@given(
    st.floats(0, 1e-3),
    st.floats(1e-9, 1e-3),
    st.lists(st.tuples(st.integers(1, 10_000), st.floats(1, 50)), max_size=40),
    st.integers(1, 200_000),
)
def test_it_is_hardly_ever_above_the_truth(call: float, step: float, seen: list[tuple[int, float]], steps: int) -> None:
    """Whatever was seen, late or not: beyond it at most the share of the calls is too much, and that twice at most."""
    experience = Experience()
    for length, late in (*seen, *((length, 1.0) for length, _ in seen)):
        experience.observe(length, late * (call + step * length))
    truth = call + step * steps
    assert experience.least_seconds(steps) <= truth + call + 1e-12
