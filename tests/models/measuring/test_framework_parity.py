"""The framework's own answers in the gate: let through where the import gives them, and the place named where it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.models.description.shapes import expected_weights
from cellserve.models.measuring import framework_parity, parity
from cellserve.models.measuring.framework_answers import AnswersDoNotFit, FrameworkAnswers
from cellserve.models.measuring.framework_parity import against_framework
from cellserve.models.measuring.parity import ParityFailure
from cellserve.models.spec import ModelSpec
from cellserve.models.weights import Weights
from tests.golden.cases import GoldenCase, all_cases

SPEC = ModelSpec.model_validate(
    {
        "inputs": [{"name": "x", "width": 3}],
        "layers": [
            {"kind": "lstm", "name": "lstm", "inputs": ["x"], "units": 4, "return_sequences": True},
            {"kind": "dense", "name": "head", "inputs": ["lstm"], "units": 2},
        ],
        "outputs": ["head"],
    }
)
WEIGHTS = Weights.of({n: np.random.default_rng(1).normal(size=s) * 0.5 for n, s in expected_weights(SPEC).items()})
REPORT = parity.check(SPEC, WEIGHTS)


def answered(rows: int = 2, steps: int = 5, **other: Any) -> FrameworkAnswers:
    x = np.random.default_rng(2).normal(size=(rows, steps, 3)).astype(np.float32)
    outputs, _ = reference.run(SPEC, WEIGHTS.arrays, (x,), (steps,) * rows)
    return FrameworkAnswers("expect.npz", (x,), tuple(array.astype(np.float32) for array in outputs), **other)


def test_the_frameworks_answers_become_the_golden_pair() -> None:
    given = answered()
    agreement = against_framework(REPORT, SPEC, WEIGHTS, [given])
    np.testing.assert_array_equal(agreement.report.golden.inputs[0], given.inputs[0])
    np.testing.assert_array_equal(agreement.report.golden.outputs[0], given.outputs[0])
    assert set(agreement.report.golden.state) == set(REPORT.golden.state)
    assert list(agreement.differences) == ["expect.npz"]
    assert agreement.differences["expect.npz"] < agreement.report.bound
    assert set(agreement.report.differences) == set(REPORT.differences)
    assert all(agreement.report.differences[label] >= REPORT.differences[label] for label in REPORT.differences)
    again = parity.GoldenPair.from_json(agreement.report.golden.to_json())
    np.testing.assert_array_equal(again.outputs[0], given.outputs[0])


def test_an_answer_that_the_import_does_not_give_is_named() -> None:
    given = answered()
    wrong = given.outputs[0].copy()
    wrong[1, 3, 0] += 1e-3
    with pytest.raises(
        ParityFailure,
        match=r"the framework's own answers: expect\.npz, y0 \('head'\): row 1, step 3, place \[3, 0\].*the oracle says",
    ):
        against_framework(REPORT, SPEC, WEIGHTS, [replace(given, outputs=(wrong,))])


def test_each_of_several_must_hold_and_the_last_is_kept() -> None:
    first, last = answered(), replace(answered(rows=3), by="second.npz")
    agreement = against_framework(REPORT, SPEC, WEIGHTS, [first, last])
    assert list(agreement.differences) == ["expect.npz", "second.npz"]
    assert len(agreement.report.golden.lengths) == 3
    wrong = replace(first, outputs=(first.outputs[0] + 1,))
    with pytest.raises(ParityFailure, match=r"expect\.npz"):
        against_framework(REPORT, SPEC, WEIGHTS, [wrong, last])


@pytest.mark.parametrize("rows", [2, 5])
def test_answers_whose_first_axis_is_time(rows: int) -> None:
    given = answered(rows=rows)
    turned = replace(
        given,
        inputs=tuple(array.swapaxes(0, 1) for array in given.inputs),
        outputs=tuple(array.swapaxes(0, 1) for array in given.outputs),
    )
    agreement = against_framework(REPORT, SPEC, WEIGHTS, [turned])
    assert list(agreement.differences) == ["expect.npz, read with time as the first axis"]
    np.testing.assert_array_equal(agreement.report.golden.inputs[0], given.inputs[0])


def test_answers_of_another_shape() -> None:
    given = answered()
    with pytest.raises(AnswersDoNotFit, match=r"y0 is \[2, 2\] where the import answers \[2, 5, 2\], \[batch, time, 2\]"):
        against_framework(REPORT, SPEC, WEIGHTS, [replace(given, outputs=(given.outputs[0][:, -1],))])


def test_of_many_rows_a_few_are_kept_but_all_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framework_parity, "KEPT_VALUES", 200)
    given = answered(rows=8, steps=12)
    golden = against_framework(REPORT, SPEC, WEIGHTS, [given]).report.golden
    assert len(golden.lengths) == len(golden.inputs[0]) == len(golden.state["0.h"]) == 200 // (12 * (3 + 2))
    wrong = given.outputs[0].copy()
    wrong[-1, -1] += 1
    with pytest.raises(ParityFailure, match="row 7, step 11"):
        against_framework(REPORT, SPEC, WEIGHTS, [replace(given, outputs=(wrong,))])


def test_rows_of_different_lengths() -> None:
    given = answered(lengths=(5, 5))
    ragged = replace(
        given, lengths=(5, 2), outputs=(np.where(np.arange(5)[:, None] < 2, given.outputs[0], 0.0)[[1]].repeat(2, 0),)
    )
    with pytest.raises(ParityFailure, match="row 0"):
        against_framework(REPORT, SPEC, WEIGHTS, [ragged])
    right = np.stack([given.outputs[0][0], np.where(np.arange(5)[:, None] < 2, given.outputs[0][1], 0.0)]).astype(np.float32)
    assert against_framework(REPORT, SPEC, WEIGHTS, [replace(ragged, outputs=(right,))]).report.golden.lengths == (5, 2)


ERAS = ("k030", "k122th", "k231tf", "tfk", "k3", "pt", "tf1")
OF_EACH_ERA = {case.name.partition("_")[0]: case for case in reversed(all_cases()) if len(case.calls) == 1}


@pytest.mark.parametrize("case", [OF_EACH_ERA[era] for era in ERAS], ids=ERAS)
def test_every_frameworks_own_answers_hold(case: GoldenCase) -> None:
    model, call = case.load(), case.calls[0]
    given = FrameworkAnswers(case.name, call.inputs, call.outputs, call.lengths)
    agreement = against_framework(parity.check(model.spec, model.weights), model.spec, model.weights, [given])
    assert agreement.differences[case.name] < agreement.report.bound
