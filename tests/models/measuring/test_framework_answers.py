"""Whether arrays can be a model's inputs and answers at all, and in which order of axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cellserve.models.description.layers.cells import SimpleRnnLayer
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.measuring.framework_answers import TIME_MAJOR, AnswersDoNotFit, FrameworkAnswers
from cellserve.models.spec import InputSpec, ModelSpec

LSTM: dict[str, Any] = {"kind": "lstm", "name": "lstm", "inputs": ["x"], "units": 4}
FEATURES = ModelSpec.model_validate({"inputs": [{"name": "x", "width": 3}], "layers": [LSTM], "outputs": ["lstm"]})
IDS = ModelSpec.model_validate(
    {
        "inputs": [{"name": "x", "kind": "ids"}],
        "layers": [
            {"kind": "embedding", "name": "table", "inputs": ["x"], "vocabulary": 6, "units": 3},
            {**LSTM, "inputs": ["table"]},
        ],
        "outputs": ["lstm"],
    }
)
FLAT = ModelSpec.model_validate(
    {
        "inputs": [{"name": "x", "width": 3, "time_steps": 5}],
        "layers": [{**LSTM, "return_sequences": True}, {"kind": "flatten", "name": "flat", "inputs": ["lstm"]}],
        "outputs": ["flat"],
    }
)


def answers(*inputs: np.ndarray, outputs: tuple[np.ndarray, ...] = (np.zeros((2, 4), np.float32),)) -> FrameworkAnswers:
    return FrameworkAnswers("expect.npz", inputs, outputs)


def test_inputs_become_what_the_network_reads() -> None:
    reading = answers(np.ones((2, 5, 3), dtype=np.float64)).readings(FEATURES)[0]
    assert reading.inputs[0].dtype == np.float32
    assert reading.lengths == (5, 5)
    ids = answers(np.array([[0.0, 5.0], [1.0, 2.0]])).readings(IDS)[0].inputs[0]
    assert ids.dtype == np.int64
    np.testing.assert_array_equal(ids, [[0, 5], [1, 2]])


def test_time_may_be_the_first_axis_where_that_fits() -> None:
    assert [reading.how for reading in answers(np.ones((2, 5, 3))).readings(FEATURES)] == [""]
    turned = answers(np.ones((5, 2, 3))).readings(FEATURES)
    assert [(reading.how, reading.inputs[0].shape) for reading in turned] == [(TIME_MAJOR, (2, 5, 3))]
    square = answers(np.ones((2, 2, 3)))
    assert [reading.how for reading in square.readings(FEATURES)] == ["", TIME_MAJOR]
    known = FrameworkAnswers("torch", square.inputs, square.outputs, lengths=(2, 1))
    assert [reading.lengths for reading in known.readings(FEATURES)] == [(2, 1)]


@pytest.mark.parametrize(
    ("spec", "given", "said"),
    [
        (FEATURES, answers(np.ones((2, 5, 3)), np.ones((2, 4))), r"the model has 1 inputs \(x0\), the file 2"),
        (FEATURES, answers(np.ones((2, 5, 3)), outputs=(np.ones((2, 4)),) * 2), r"the model has 1 outputs \(y0\), the file 2"),
        (FEATURES, answers(np.ones((2, 5, 4))), r"x0 is \[2, 5, 4\]; the model reads \[batch, time, 3\]"),
        (FEATURES, answers(np.ones((2, 3))), r"x0 is \[2, 3\]; the model reads \[batch, time, 3\]"),
        (FEATURES, answers(np.ones((2, 0, 3))), r"x0 is \[2, 0, 3\]"),
        (FEATURES, answers(np.full((2, 5, 3), np.nan)), "x0 holds values that are not finite"),
        (FEATURES, answers(np.ones((4, 5, 3))), r"not of one number of rows: x0 \[4, 5, 3\], y0 \[2, 4\]"),
        (FEATURES, answers(np.ones((2, 5, 3)), outputs=(np.ones((2, 4), np.float16),)), "y0 is float16; .* float32"),
        (FEATURES, answers(np.ones((2, 5, 3)), outputs=(np.ones((2, 4), np.int64),)), "y0 is int64"),
        (IDS, answers(np.array([[0, 6], [1, 2]])), "x0 must hold ids, whole numbers from 0 to 5"),
        (IDS, answers(np.array([[0.5, 1], [1, 2]])), "x0 must hold ids"),
        (FLAT, answers(np.ones((2, 4, 3))), "its inputs have 4 time steps, the model needs exactly 5"),
    ],
)
def test_what_cannot_be_an_input_or_an_answer(spec: ModelSpec, given: FrameworkAnswers, said: str) -> None:
    with pytest.raises(AnswersDoNotFit, match=rf"expect\.npz: .*{said}|expect\.npz: {said}"):
        given.readings(spec)


def test_inputs_may_have_lengths_of_their_own() -> None:
    """An encoder's and a decoder's; those that are joined step by step must be equal."""
    inputs = (InputSpec(name="x", width=3), InputSpec(name="z", width=2))
    encoder, decoder = (SimpleRnnLayer(name=name, inputs=(name[0],), units=2) for name in ("x_rnn", "z_rnn"))
    apart = ModelSpec(inputs=inputs, layers=(encoder, decoder), outputs=("x_rnn", "z_rnn"))
    given = answers(np.ones((2, 5, 3)), np.ones((2, 4, 2)), outputs=(np.zeros((2, 2), np.float32),) * 2)
    assert given.readings(apart)[0].lengths == ((5, 4), (5, 4))
    joined = ModelSpec(inputs=inputs, layers=(MergeLayer(name="m", inputs=("x", "z"), mode="concat"),), outputs=("m",))
    with pytest.raises(AnswersDoNotFit, match="not of one number of time steps"):
        answers(np.ones((2, 5, 3)), np.ones((2, 4, 2)), outputs=(np.zeros((2, 5, 5), np.float32),)).readings(joined)


def test_several_axes_of_features_are_read_as_one() -> None:
    assert answers(np.ones((2, 5, 3, 1))).readings(FEATURES)[0].inputs[0].shape == (2, 5, 3)
