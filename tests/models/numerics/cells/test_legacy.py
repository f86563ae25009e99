"""One step of each cell that Keras dropped in 2015, against its equations in NumPy, and which gates it multiplies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cellserve.models.description.layers.cells import JzsLayer, SimpleDeepRnnLayer
from cellserve.models.numerics.cells.cell import Gates
from cellserve.models.numerics.cells.table import step_of

Array = NDArray[np.float64]
ROWS, UNITS = 3, 4
RNG = np.random.default_rng(0)
U = [RNG.normal(size=(UNITS, UNITS)) for _ in range(3)]
X = [RNG.normal(size=(ROWS, UNITS)) for _ in range(3)]
H = [RNG.normal(size=(ROWS, UNITS)) for _ in range(3)]
BIAS = RNG.normal(size=UNITS)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


class Recurrent:
    """h U of the gates asked for, remembering which."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, h: torch.Tensor, gates: range) -> Gates:
        self.asked.append(tuple(gates))
        return tuple(h @ torch.tensor(U[gate]) for gate in gates)


def tensors(arrays: list[Array]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(array) for array in arrays)


@pytest.mark.parametrize(
    ("variant", "products"),
    [(1, [(1,), (2,)]), (2, [(0, 1), (2,)]), (3, [(0,), (1,), (2,)])],
)
def test_jzs(variant: int, products: list[tuple[int, ...]]) -> None:
    """z takes the candidate, 1 - z keeps the state: the other way round than in a GRU."""
    layer = JzsLayer.model_validate({"name": "l", "inputs": ["x"], "units": UNITS, "variant": variant, "activation": "softsign"})
    arrays = {"candidate_bias": torch.tensor(BIAS)} if variant == 1 else {}
    recurrent, h = Recurrent(), H[0]
    (found,) = step_of(layer, arrays)(tensors(X), recurrent, tensors([h]))
    seen = {1: 0.0, 2: h @ U[0], 3: np.tanh(h) @ U[0]}[variant]
    z, r = sigmoid(X[0] + seen), sigmoid(X[1] + h @ U[1])
    given = np.tanh(X[2]) + BIAS if variant == 1 else X[2]
    total = given + (r * h) @ U[2]
    candidate = total / (1 + np.abs(total))
    np.testing.assert_allclose(found.numpy(), z * candidate + (1 - z) * h, rtol=1e-12)
    assert recurrent.asked == products


@pytest.mark.parametrize("flags", [(1.0, 1.0, 1.0), (1.0, 0.0, 1.0), (0.0, 0.0, 0.0)])
def test_simple_deep_rnn_adds_only_what_were_steps(flags: tuple[float, ...]) -> None:
    layer = SimpleDeepRnnLayer(name="l", inputs=("x",), units=UNITS, depth=3)
    valid = [np.full((ROWS, 1), flag) for flag in flags]
    recurrent = Recurrent()
    new = step_of(layer, {})(tensors(X[:1]), recurrent, tensors([*H, *valid]))
    terms = [flag * np.clip(0.2 * (h @ u) + 0.5, 0, 1) for flag, h, u in zip(flags, H, U)]
    np.testing.assert_allclose(new[0].numpy(), np.tanh(X[0] + sum(terms)), rtol=1e-12)
    np.testing.assert_array_equal(new[1].numpy(), H[0])
    np.testing.assert_array_equal(new[2].numpy(), H[1])
    assert [float(flag[0]) for flag in new[3:]] == [1.0, *flags[:2]]
    assert recurrent.asked == [(0,), (1,), (2,)]


def test_simple_deep_rnn_of_the_first_releases_adds_missing_steps_as_zeros() -> None:
    layer = SimpleDeepRnnLayer(name="l", inputs=("x",), units=UNITS, depth=2, missing_steps="zero")
    nothing = [np.zeros((ROWS, UNITS))] * 2
    new = step_of(layer, {})(tensors(X[:1]), Recurrent(), tensors(nothing))
    np.testing.assert_allclose(new[0].numpy(), np.tanh(X[0] + 0.5 + 0.5), rtol=1e-12)
    assert len(new) == 2
