"""One step of each cell against the same equations written here in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cellserve.models.description.layers.cells import (
    GruLayer,
    LstmLayer,
    MinGruLayer,
    MinLstmLayer,
    SimpleRnnLayer,
    SLstmLayer,
)
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.numerics.cells.cell import Gates
from cellserve.models.numerics.cells.table import step_of

Array = NDArray[np.float64]
ROWS, UNITS = 3, 4
RNG = np.random.default_rng(0)
U = RNG.normal(size=(UNITS, 4 * UNITS))  # as many gates as the cell has are used
RECURRENT_BIAS = RNG.normal(size=4 * UNITS)
X = [RNG.normal(size=(ROWS, UNITS)) for _ in range(4)]
H, C = RNG.normal(size=(ROWS, UNITS)), RNG.normal(size=(ROWS, UNITS))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def hard_sigmoid(x: Array) -> Array:
    return np.clip(0.2 * x + 0.5, 0, 1)


def block(gate: int) -> slice:
    return slice(gate * UNITS, (gate + 1) * UNITS)


def recurrent(h: torch.Tensor, gates: range) -> Gates:
    return tuple(h @ torch.tensor(U[:, block(gate)]) for gate in gates)


def recurrent_with_bias(h: torch.Tensor, gates: range) -> Gates:
    return tuple(product + torch.tensor(RECURRENT_BIAS[block(gate)]) for product, gate in zip(recurrent(h, gates), gates))


def step(layer: RecurrentLayer, gates: int, *states: Array, bias: bool = False, **weights: Array) -> list[Array]:
    one = step_of(layer, {name: torch.tensor(array) for name, array in weights.items()})
    projected = tuple(torch.tensor(x) for x in X[:gates])
    new = one(projected, recurrent_with_bias if bias else recurrent, tuple(torch.tensor(state) for state in states))
    return [state.numpy() for state in new]


def test_lstm() -> None:
    layer = LstmLayer(name="lstm", inputs=("x",), units=UNITS, activation="softsign", recurrent_activation="hard_sigmoid")
    h, c = step(layer, 4, H, C)
    i, f, g, o = (X[gate] + H @ U[:, block(gate)] for gate in range(4))
    expected_c = hard_sigmoid(f) * C + hard_sigmoid(i) * (g / (1 + abs(g)))
    expected_h = hard_sigmoid(o) * (expected_c / (1 + abs(expected_c)))
    np.testing.assert_allclose(c, expected_c)
    np.testing.assert_allclose(h, expected_h)


def test_min_gru_sees_the_state_only_to_keep_it() -> None:
    layer = MinGruLayer(name="gru", inputs=("x",), units=UNITS, activation="softsign", recurrent_activation="hard_sigmoid")
    (h,) = step(layer, 2, H)
    z, candidate = hard_sigmoid(X[0]), X[1] / (1 + abs(X[1]))
    np.testing.assert_allclose(h, (1 - z) * H + z * candidate)


def test_min_lstm_divides_its_gates_by_their_sum() -> None:
    layer = MinLstmLayer(name="lstm", inputs=("x",), units=UNITS, activation="softsign")
    (h,) = step(layer, 3, H)
    f, i, candidate = sigmoid(X[0]), sigmoid(X[1]), X[2] / (1 + abs(X[2]))
    np.testing.assert_allclose(h, (f * H + i * candidate) / (f + i))


def test_gates_of_a_min_lstm_that_are_both_zero_in_float32_still_share() -> None:
    layer = MinLstmLayer(name="lstm", inputs=("x",), units=1)
    gates = tuple(torch.full((1, 1), value) for value in (-200.0, -200.0, 3.0))
    (h,) = step_of(layer, {})(gates, lambda h, gates: (), (torch.ones(1, 1),))
    assert h.item() == 2.0


@pytest.mark.parametrize("forget_gate", ["sigmoid", "exponential"])
def test_slstm_is_its_sums_of_exponentials(forget_gate: str) -> None:
    """Without the stabiliser, as the paper defines it: c and n are what is kept times exp(m)."""
    layer = SLstmLayer(name="s", inputs=("x",), units=UNITS, forget_gate=forget_gate)
    n, m = 1 + abs(C), 0.3 * H
    h, new_c, new_n, new_m = step(layer, 4, H, C, n, m)
    i, f, z, o = (x + product for x, product in zip(X, np.split(H @ U, 4, axis=1)))
    forget = np.exp(f) if forget_gate == "exponential" else sigmoid(f)
    c, total = forget * C * np.exp(m) + np.exp(i) * np.tanh(z), forget * n * np.exp(m) + np.exp(i)
    np.testing.assert_allclose(h, sigmoid(o) * c / total)
    np.testing.assert_allclose(new_c * np.exp(new_m), c)
    np.testing.assert_allclose(new_n * np.exp(new_m), total)
    assert (new_n >= 1).all()


def test_the_first_step_of_an_slstm_knows_no_past_however_small_its_gates() -> None:
    layer = SLstmLayer(name="s", inputs=("x",), units=1)
    gates = tuple(torch.full((1, 1), value) for value in (-300.0, 50.0, 0.5, 0.0))
    nothing = torch.zeros(1, 1)
    h, _, n, m = step_of(layer, {})(gates, lambda h, gates: (nothing,) * 4, (nothing,) * 4)
    assert (n.item(), m.item()) == (1.0, -300.0)
    assert h.item() == pytest.approx(0.5 * np.tanh(0.5))


def test_lstm_with_projection_feeds_back_the_projected_state() -> None:
    projection = RNG.normal(size=(UNITS, UNITS))
    layer = LstmLayer(name="lstm", inputs=("x",), units=UNITS)
    (h, c), (plain, same) = step(layer, 4, H, C, projection=projection), step(layer, 4, H, C)
    np.testing.assert_allclose(h, plain @ projection)
    np.testing.assert_allclose(c, same)


def test_lstm_with_peepholes_and_clips() -> None:
    """o looks at the new c, after its clip; the clip of h acts on the projected one."""
    peepholes, projection = RNG.normal(size=(3, UNITS)), RNG.normal(size=(UNITS, UNITS))
    layer = LstmLayer(
        name="lstm", inputs=("x",), units=UNITS, projection_units=UNITS, peepholes=True, cell_clip=0.3, projection_clip=0.2
    )
    weights = {f"peephole_{gate}": peephole for gate, peephole in zip("ifo", peepholes)}
    h, c = step(layer, 4, H, C, projection=projection, **weights)
    i, f, g, o = (X[gate] + H @ U[:, block(gate)] for gate in range(4))
    unclipped_c = sigmoid(f + peepholes[1] * C) * C + sigmoid(i + peepholes[0] * C) * np.tanh(g)
    expected_c = np.clip(unclipped_c, -0.3, 0.3)
    unclipped_h = (sigmoid(o + peepholes[2] * expected_c) * np.tanh(expected_c)) @ projection
    assert np.any(unclipped_c != expected_c)
    assert np.any(abs(unclipped_h) > 0.2)
    np.testing.assert_allclose(c, expected_c)
    np.testing.assert_allclose(h, np.clip(unclipped_h, -0.2, 0.2))


def test_lstm_with_a_clip_alone() -> None:
    layer = LstmLayer(name="lstm", inputs=("x",), units=UNITS)
    _, c = step(layer, 4, H, C)
    _, clipped = step(layer.model_copy(update={"cell_clip": 0.25}), 4, H, C)
    np.testing.assert_allclose(clipped, np.clip(c, -0.25, 0.25))


def test_gru_reset_before_the_product() -> None:
    layer = GruLayer(name="gru", inputs=("x",), units=UNITS, recurrent_activation="hard_sigmoid")
    (h,) = step(layer, 3, H)
    z, r = (hard_sigmoid(X[gate] + H @ U[:, block(gate)]) for gate in range(2))
    candidate = np.tanh(X[2] + (r * H) @ U[:, block(2)])
    np.testing.assert_allclose(h, z * H + (1 - z) * candidate)


def test_gru_reset_after_the_product() -> None:
    layer = GruLayer(name="gru", inputs=("x",), units=UNITS, reset_after=True)
    (h,) = step(layer, 3, H, bias=True)
    products = [H @ U[:, block(gate)] + RECURRENT_BIAS[block(gate)] for gate in range(3)]
    z, r = (sigmoid(X[gate] + products[gate]) for gate in range(2))
    candidate = np.tanh(X[2] + r * products[2])
    np.testing.assert_allclose(h, z * H + (1 - z) * candidate)


@pytest.mark.parametrize(("name", "function"), [("tanh", np.tanh), ("relu", lambda x: np.maximum(x, 0))])
def test_simple_rnn(name: str, function: np.ufunc) -> None:
    (h,) = step(SimpleRnnLayer(name="rnn", inputs=("x",), units=UNITS, activation=name), 1, H)
    np.testing.assert_allclose(h, function(X[0] + H @ U[:, block(0)]))
