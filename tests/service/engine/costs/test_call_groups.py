"""Rows share calls by what calls and padding cost: another call wherever it costs less than the padding, and nowhere else."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellserve.service.engine.costs.call_costs import CallCosts
from cellserve.service.engine.costs.call_groups import groups_of

DEAR_CALL = CallCosts(row_step_seconds=1e-6, step_seconds=4e-6, row_seconds=0, call_seconds=256e-6, pads=True)
CHEAP_CALL = CallCosts(row_step_seconds=1e-4, step_seconds=0, row_seconds=0, call_seconds=5e-5, pads=True)


@pytest.mark.parametrize(
    ("lengths", "costs", "expected"),
    [
        ([40], DEAR_CALL, [1]),
        ([40] * 64, DEAR_CALL, [64]),
        ([30] * 32 + [31] * 32, DEAR_CALL, [64]),  # not worth a call
        ([10] * 32 + [100] * 32, DEAR_CALL, [32, 32]),
        ([100] + [10] * 63, DEAR_CALL, [63, 1]),
        ([5] * 20 + [50] * 20 + [60] * 20, DEAR_CALL, [20, 40]),
        ([1] * 4 + [60], DEAR_CALL, [5]),  # too little to save
        ([1] + [500] * 8, DEAR_CALL, [1, 8]),
        ([1, 3, 2, 3], CHEAP_CALL, [1, 1, 2]),
        ([1, 3, 2, 3], CHEAP_CALL._replace(pads=False), [4]),
    ],
)
def test_how_many_go_together(lengths: list[int], costs: CallCosts, expected: list[int]) -> None:
    assert [len(group) for group in groups_of(lengths, costs)] == expected


SECONDS = st.floats(0, 1e-3)
COSTS = st.builds(CallCosts, SECONDS, SECONDS, SECONDS, SECONDS, st.booleans())


def seconds(parts: list[list[int]], costs: CallCosts) -> float:
    return sum(costs.seconds(part) for part in parts)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=64), COSTS)
def test_groups_hold_everybody_once_shorter_ones_first_and_cost_no_more_than_one_call(
    lengths: list[int], costs: CallCosts
) -> None:
    groups = groups_of(lengths, costs)
    assert sorted(place for group in groups for place in group) == list(range(len(lengths)))
    parts = [[lengths[place] for place in group] for group in groups]
    assert all(max(part) < min(following) or len(groups) == 1 for part, following in pairwise(parts))
    assert seconds(parts, costs) <= costs.seconds(lengths) * (1 + 1e-9)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=7), COSTS)
def test_all_go_together_only_where_no_way_to_cut_them_costs_less(lengths: list[int], costs: CallCosts) -> None:
    ordered = sorted(lengths)
    inner = range(1, len(ordered))
    ways = [
        [ordered[start:stop] for start, stop in pairwise((0, *cuts, len(ordered)))]
        for number in range(len(ordered))
        for cuts in combinations(inner, number)
    ]
    if len(groups_of(lengths, costs)) == 1 and costs.pads:
        assert costs.seconds(lengths) <= min(seconds(way, costs) for way in ways) * (1 + 1e-9)
