"""What differs between two versions' answers, and which decisions flip."""

from __future__ import annotations

import numpy as np
import pytest

from cellserve.service.cli.comparison.differences import Differences
from cellserve.service.errors import InvalidInput


def between(before: list[list[float]], after: list[list[float]]) -> Differences:
    return Differences.between({"outputs": [np.array(row) for row in before]}, {"outputs": [np.array(row) for row in after]})


def test_each_input_has_its_largest_and_its_mean_difference() -> None:
    found = between([[1.0, 2.0], [3.0, 5.0], [0.0, 0.0]], [[1.0, 2.5], [3.0, 5.0], [2.0, 1.0]])
    assert [(row.index, row.largest, row.mean) for row in found.rows] == [(0, 0.5, 0.25), (1, 0.0, 0.0), (2, 2.0, 1.5)]
    assert found.largest == 2.0
    assert [row.index for row in found.worst(2)] == [2, 0]
    assert found.percentiles() == {50: 0.5, 90: 2.0, 99: 2.0}
    assert found.by_decade() == {"0": 1, "1e-1": 1, "1e0": 1}
    assert found.decisions == found.flips == 0  # 5 is no probability


def test_one_hundred_inputs_have_the_percentiles_of_their_ranks() -> None:
    found = between([[0.0]] * 100, [[float(rank)] for rank in range(1, 101)])
    assert found.percentiles() == {50: 50.0, 90: 90.0, 99: 99.0}


def test_of_a_classifier_those_are_told_whose_largest_class_is_another() -> None:
    found = between([[0.1, 0.9], [0.6, 0.4], [0.3, 0.7]], [[0.2, 0.8], [0.4, 0.6], [0.45, 0.55]])
    assert (found.decisions, found.flips) == (3, 1)
    (row,) = found.flipped
    assert (row.index, row.flips, row.first_flip) == (1, 1, ("outputs", None, "0", "1"))


def test_of_answers_per_step_each_step_is_a_decision() -> None:
    before = {"outputs": [np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])]}
    after = {"outputs": [np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])]}
    found = Differences.between(before, after)
    assert (found.decisions, found.flips) == (3, 2)
    assert found.rows[0].first_flip == ("outputs", 1, "0", "1")


def test_one_probability_or_several_that_do_not_make_one_are_yes_or_no() -> None:
    assert between([[0.49], [0.2]], [[0.5], [0.4]]).rows[0].first_flip == ("outputs", None, "none", "0")
    assert between([[0.9, 0.8, 0.1]], [[0.9, 0.1, 0.8]]).rows[0].first_flip == ("outputs", None, "0,1", "0,2")


def test_what_is_finite_on_one_side_only_differs_without_end() -> None:
    nan, inf = float("nan"), float("inf")
    found = between([[nan], [nan], [1.0], [inf]], [[nan], [0.0], [-inf], [inf]])
    assert [row.largest for row in found.rows] == [0.0, inf, inf, 0.0]
    assert found.by_decade() == {"0": 2, "not finite": 2}


def test_what_cannot_be_held_against_each_other_is_told() -> None:
    with pytest.raises(InvalidInput, match=r"row 0 in other shapes, outputs in \[2\] and \[3\]"):
        between([[0.0, 0.0]], [[0.0, 0.0, 0.0]])
    with pytest.raises(InvalidInput, match="other outputs: a and b"):
        Differences.between({"a": [np.zeros(1)]}, {"b": [np.zeros(1)]})
