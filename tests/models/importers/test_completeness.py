"""The last gate of every importer: arrays that no network can compute with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cellserve.models import reference
from cellserve.models.errors import ImportRefused
from cellserve.models.importers import ImportedModel, load
from tests.models.importers.keras_files import layer, lstm, lstm_arrays, sequential, write_h5


def normalized(folder: Path, variance: list[float], epsilon: float = 1e-3) -> ImportedModel:
    """An LSTM, and a batch normalization of its answers."""
    model = sequential(lstm(batch_input_shape=[None, None, 2]), layer("BatchNormalization", "norm", epsilon=epsilon))
    arrays = [np.ones(3), np.zeros(3), np.zeros(3), np.array(variance)]
    return load(write_h5(folder / "m.h5", model, {"lstm_1": lstm_arrays(), "norm": arrays}))


@pytest.mark.parametrize(
    ("variance", "epsilon", "said"),
    [
        ([1.0, -0.5, -0.25], 1e-3, r"2 of 3 values .* epsilon 0\.001 added \(the least is -0\.5\)"),
        ([1.0, -1e-3, 1.0], 1e-3, r"1 of 3 values .* \(the least is -0\.001\)"),
        ([1.0, 0.0, 1.0], 0.0, r"1 of 3 values .* epsilon 0 added \(the least is 0\)"),
    ],
)
def test_variances_whose_root_cannot_be_divided_by(tmp_path: Path, variance: list[float], epsilon: float, said: str) -> None:
    with pytest.raises(ImportRefused, match=rf"layer 'norm': its moving_variance holds {said}.* NaN.* save the model again"):
        normalized(tmp_path, variance, epsilon)


@pytest.mark.parametrize("least", [0.0, -5e-4])
def test_variances_that_epsilon_makes_positive_are_taken(tmp_path: Path, least: float) -> None:
    model = normalized(tmp_path, [1.0, least, 1.0])
    (answers,), _ = reference.run(model.spec, model.weights.arrays, [np.ones((1, 4, 2))], [4])
    assert np.isfinite(answers).all()
