"""The last gate of every importer: arrays that no network can compute with."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load
from tests.models.importers.keras_files import layer, lstm, lstm_arrays, sequential, write_h5


def normalized(folder: Path, variance: list[float], epsilon: float = 1e-3, *more: dict[str, object]) -> ImportedModel:
    """An LSTM, and a batch normalization of its answers."""
    steps = lstm(batch_input_shape=[None, None, 2], return_sequences=bool(more))
    model = sequential(steps, layer("BatchNormalization", "norm", epsilon=epsilon), *more)
    arrays = [np.ones(3), np.zeros(3), np.zeros(3), np.array(variance)]
    return load(write_h5(folder / "m.h5", model, {"lstm_1": lstm_arrays(), "norm": arrays}))


@pytest.mark.parametrize(("variance", "epsilon"), [([1.0, -1e-3, -0.5], 1e-3), ([1.0, 0.0, 1.0], 0.0)])
def test_variances_that_divide_by_zero_are_refused(tmp_path: Path, variance: list[float], epsilon: float) -> None:
    said = rf"layer 'norm': its moving_variance is zero in 1 of 3 values when epsilon {epsilon:g} is added.* save the model again"
    with pytest.raises(ImportRefused, match=said):
        normalized(tmp_path, variance, epsilon)


def test_negative_variances_answer_nan_as_in_the_framework_and_a_note_says_where(tmp_path: Path) -> None:
    model = normalized(tmp_path, [1.0, -0.5, -0.25])
    said = r"Layer 'norm' answers NaN in 2 of its 3 features, .* \(the least is -0\.5\), below -epsilon \(0\.001\)"
    assert re.match(said, model.notes[0])
    (answers,), _ = reference.run(model.spec, model.weights.arrays, [np.ones((1, 4, 2))], [4])
    assert np.isnan(answers).tolist() == [[False, True, True]]


def test_negative_variances_before_a_maximum_are_refused_for_frameworks_pass_over_nan(tmp_path: Path) -> None:
    pool = layer("MaxPooling1D", "pool", pool_size=2, strides=2)
    with pytest.raises(
        ImportRefused, match=r"layer 'norm': its moving_variance is negative.* in 1 of 3 .* layer 'pool' takes a maximum"
    ):
        normalized(tmp_path, [1.0, -0.5, 1.0], 1e-3, pool)


@pytest.mark.parametrize("least", [0.0, -5e-4])
def test_variances_that_epsilon_makes_positive_are_taken(tmp_path: Path, least: float) -> None:
    model = normalized(tmp_path, [1.0, least, 1.0])
    (answers,), _ = reference.run(model.spec, model.weights.arrays, [np.ones((1, 4, 2))], [4])
    assert np.isfinite(answers).all()
