"""What calls cost is told from a few of them: each term by itself, none negative, whatever a clock says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.costs.call_costs import CallCosts, call_costs

TERM = st.floats(1e-8, 1e-3)


@given(TERM, TERM, TERM, TERM)
def test_each_term_is_found(row_step: float, step: float, row: float, call: float) -> None:
    true = CallCosts(row_step, step, row, call, pads=True)
    found = call_costs(lambda rows, steps: true.seconds([steps] * rows), pads=True)
    for lengths in ([1], [64] * 16, [1] * 16, [500] * 64):
        assert found.seconds(lengths) == pytest.approx(true.seconds(lengths), rel=1e-2)
    assert found.row_step_seconds == pytest.approx(row_step, rel=1e-2, abs=1e-10)


@given(st.dictionaries(st.tuples(st.integers(1, 64), st.integers(1, 4096)), TERM, max_size=8), TERM)
def test_no_term_is_negative_whatever_was_measured(measured: dict[tuple[int, int], float], otherwise: float) -> None:
    assert min(call_costs(lambda rows, steps: measured.get((rows, steps), otherwise), pads=False)[:4]) >= 0


def test_a_clock_that_stands_still_ends_the_measuring() -> None:
    assert call_costs(lambda rows, steps: 0.0, pads=True) == CallCosts(0, 0, 0, 0, True)


def test_padding_costs_where_it_is_computed() -> None:
    pads = CallCosts(row_step_seconds=1, step_seconds=0, row_seconds=0, call_seconds=0, pads=True)
    assert pads.seconds([1, 9]) == 18
    assert pads._replace(pads=False).seconds([1, 9]) == 10


@pytest.mark.parametrize("slower", [0.5, 4.0])
def test_a_machine_so_many_times_as_slow_measures_the_same_shapes(slower: float) -> None:
    true = CallCosts(2e-7, 3e-6, 1e-6, 3e-5, pads=True)

    def shapes_measured(factor: float) -> list[tuple[int, int]]:
        shapes: list[tuple[int, int]] = []

        def seconds_of(rows: int, steps: int) -> float:
            shapes.append((rows, steps))
            return factor * true.seconds([steps] * rows)

        call_costs(seconds_of, pads=True)
        return shapes

    assert shapes_measured(slower) == shapes_measured(1.0)
