"""How many steps a row has behind windows and margins, against counting them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cellserve.models.description.step_counts import Change, Margin, StepCount, Window

windows = st.builds(Window, st.integers(1, 5), st.integers(1, 4), st.sampled_from(("valid", "same", "causal")))
zeros, cuts = (st.builds(Margin, numbers, numbers) for numbers in (st.integers(0, 3), st.integers(-3, 0)))
mirrored = st.builds(Margin, st.integers(0, 3), st.integers(0, 3), st.sampled_from(("reflect", "edge")))
changes = windows | zeros | cuts | mirrored


def counted(window: Window, before: int) -> int:
    """Windows of `size` that fit among the steps with the zeros that `padding` puts around them."""
    if window.padding == "valid":
        starts = range(0, before - window.size + 1, window.stride)
        return len(starts)
    return len(range(0, before, window.stride))


@given(windows, st.integers(1, 20))
def test_windows_are_those_that_fit(window: Window, before: int) -> None:
    assert window.steps(before) == counted(window, before)


@given(windows, st.integers(1, 20))
def test_a_padded_window_lies_over_the_row(window: Window, before: int) -> None:
    start, count = window.start(before), window.steps(before)
    last = start + (count - 1) * window.stride + window.size - 1
    if window.padding == "valid":
        assert start == 0
        assert count == 0 or last < before
    elif window.padding == "causal":
        assert start + window.size - 1 == 0
    else:
        missing = max(0, last - before + 1) + -start
        assert -start == missing // 2 if missing else start == 0


@given(st.lists(changes, max_size=4), st.integers(1, 40))
def test_the_fewest_steps_are_just_enough(made: list[Change], fed: int) -> None:
    step_count = StepCount()
    for change in made:
        step_count = step_count.then(change)
    assert step_count.steps(step_count.fewest) >= 1
    assert (step_count.steps(fed) >= 1) == (fed >= step_count.fewest)


def test_what_keeps_every_step_keeps_the_clock() -> None:
    for change in (Window(3, 1, "same"), Window(9, 1, "causal"), Window(1, 1, "valid"), Margin(0, 0)):
        assert StepCount().then(change) == StepCount()
    assert StepCount().then(Window(2, 2, "same")) != StepCount()
    assert StepCount().then(Margin(1, 0)) != StepCount().then(Margin(0, 1))


def test_a_decoders_clock_does_not_depend_on_what_was_fed() -> None:
    decoder = StepCount(6).then(Window(2, 2, "valid"))
    assert {decoder.steps(fed) for fed in (1, 7, 100)} == {3}
