"""What one sequence keeps between its passes: every order of reading, and what is freed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.models.description.step_counts import ONWARD, TURNED, Change, Margin, Window
from cellserve.models.passes.memory import PassMemory

STEPS = 9
SEQUENCE = np.arange(1, STEPS + 1, dtype=np.float32).reshape(STEPS, 1)
MASK = np.arange(STEPS) % 3 == 0


def memory() -> PassMemory:
    return PassMemory({"x": SEQUENCE}, {"x": MASK}, {})


@given(st.integers(0, STEPS - 1), st.data())
def test_onward_and_turned(start: int, data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, STEPS - start))
    np.testing.assert_array_equal(memory().sequence("x", ONWARD, start, steps), SEQUENCE[start : start + steps])
    np.testing.assert_array_equal(memory().sequence("x", TURNED, start, steps), SEQUENCE[::-1][start : start + steps])
    np.testing.assert_array_equal(memory().mask("x", TURNED, start, steps), MASK[::-1][start : start + steps])


@pytest.mark.parametrize(
    "change",
    [
        Window(3, 1, "same"),
        Window(3, 2, "same"),
        Window(4, 1, "causal"),
        Window(2, 2, "valid"),
        Window(1, 3, "valid"),
        Margin(2, 1),
        Margin(2, 1, "reflect"),
        Margin(2, 1, "edge"),
    ],
)
@given(data=st.data())
def test_windows_are_laid_out_with_what_they_reach_over(change: Change, data: st.DataObject) -> None:
    whole = change.steps(STEPS)
    start = data.draw(st.integers(0, whole - 1))
    steps = data.draw(st.integers(1, whole - start))
    laid = memory().sequence("x", change, start, steps)
    first, length = memory().first("x", change, start)
    assert length == STEPS
    assert len(laid) == change.span(steps)
    for place, value in enumerate(laid, start=first):
        assert np.isfinite(value).all()
        if 0 <= place < STEPS:
            assert value == SEQUENCE[place]
        elif isinstance(change, Margin) and change.fill != "zeros":
            assert value == np.pad(SEQUENCE, [(2, 1), (0, 0)], mode=change.fill)[place + 2]


def test_what_is_put_piece_by_piece_is_counted_and_freed() -> None:
    target = memory()
    target.put("made", 0, np.ones((4, 3), np.float32), STEPS)
    target.put("made", 4, np.full((5, 3), 2, np.float32), STEPS)
    target.put_mask("made", 0, np.ones(STEPS, np.bool_), STEPS)
    assert target.stored_bytes == STEPS * 3 * 4
    np.testing.assert_array_equal(target.sequence("made", ONWARD, 3, 2), [[1] * 3, [2] * 3])
    target.free(["made"], ["made", "never there"])
    assert target.stored_bytes == 0
    assert target.mask("made", ONWARD, 0, 1) is None


def test_a_sequence_without_a_mask_has_none() -> None:
    assert PassMemory({"x": SEQUENCE}, {}, {}).mask("x", ONWARD, 0, 2) is None


@pytest.mark.parametrize("order", [ONWARD, TURNED])
def test_reading_beyond_the_end_is_refused(order: str) -> None:
    with pytest.raises(ValueError, match="a sequence of 9 time steps was read as if it had at least 10"):
        memory().sequence("x", order, 8, 2)
