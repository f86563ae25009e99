"""Foreign arrays into canonical ones, each checked by what it was made from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cellserve.models.description import gate_order
from cellserve.models.description.layers.cells import GruLayer, LstmLayer, SimpleRnnLayer
from cellserve.models.importers.layout import LayoutError, keras_recurrent, torch_linear, torch_recurrent

LSTM = LstmLayer(name="a", inputs=("x",), units=2)
GRU = GruLayer(name="a", inputs=("x",), units=2)
GRU_AFTER = GruLayer(name="a", inputs=("x",), units=2, reset_after=True)


def numbered(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_a_plain_keras_layer_is_canonical_as_it_stands() -> None:
    kernel, recurrent, bias = numbered(3, 8), numbered(2, 8), numbered(8)
    own = keras_recurrent(LSTM, [kernel, recurrent, bias])
    assert all(own[name] is array for name, array in {"kernel": kernel, "recurrent_kernel": recurrent, "bias": bias}.items())


def test_gru_biases_of_both_kinds() -> None:
    kernel, recurrent = numbered(3, 6), numbered(2, 6)
    assert keras_recurrent(GRU, [kernel, recurrent, numbered(6)])["bias"].tolist() == [0, 1, 2, 3, 4, 5]
    own = keras_recurrent(GRU_AFTER, [kernel, recurrent, numbered(2, 6)])
    assert own["bias"].tolist() == [0, 1, 2, 3, 4, 5]
    assert own["recurrent_bias"].tolist() == [6, 7, 8, 9, 10, 11]
    with pytest.raises(LayoutError, match=r"\[6\]; a GRU with reset_after has \[2, 6\]"):
        keras_recurrent(GRU_AFTER, [kernel, recurrent, numbered(6)])
    with pytest.raises(LayoutError, match="bias"):
        keras_recurrent(GRU, [kernel, recurrent, numbered(12)])


def test_cudnn_kernels_come_back_from_their_memory_order() -> None:
    """CuDNN keeps each gate's matrix transposed in memory: K.T read row by row is what Keras calls the kernel."""
    gates = [np.random.default_rng(gate).normal(size=(3, 2)) for gate in range(4)]
    recurrent = [np.random.default_rng(9 + gate).normal(size=(2, 2)) for gate in range(4)]
    stored_kernel = np.concatenate([gate.T.reshape(3, 2) for gate in gates], axis=1)
    stored_recurrent = np.concatenate([gate.T for gate in recurrent], axis=1)
    own = keras_recurrent(LSTM, [stored_kernel, stored_recurrent, np.concatenate([np.full(8, 2.0), np.arange(8.0)])])
    np.testing.assert_array_equal(own["kernel"], np.concatenate(gates, axis=1))
    np.testing.assert_array_equal(own["recurrent_kernel"], np.concatenate(recurrent, axis=1))
    assert own["bias"].tolist() == [2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ([numbered(3, 8), numbered(2, 8)], "2 weight arrays, expected 3"),
        ([numbered(3, 6), numbered(2, 8), numbered(8)], "kernel"),
        ([numbered(3, 8), numbered(8), numbered(8)], "recurrent_kernel"),
        ([numbered(3, 8), numbered(2, 8), numbered(7)], "bias"),
    ],
)
def test_arrays_that_cannot_be_an_lstms(stored: list[np.ndarray], said: str) -> None:
    with pytest.raises(LayoutError, match=said):
        keras_recurrent(LSTM, stored)


def test_a_torch_gru_swaps_its_gates_and_keeps_both_biases() -> None:
    module = torch.nn.GRU(3, 2)
    stored = {name.removesuffix("_l0"): value.detach().numpy() for name, value in module.named_parameters()}
    own = torch_recurrent(GRU_AFTER, stored, gate_order.GRU_TORCH)
    reset, update, new = np.split(stored["weight_ih"], 3)
    np.testing.assert_array_equal(own["kernel"], np.concatenate([update, reset, new]).T)
    np.testing.assert_array_equal(own["recurrent_bias"][:2], stored["bias_hh"][2:4])


def test_a_torch_lstm_sums_its_biases_and_an_rnn_has_one_block() -> None:
    module = torch.nn.LSTM(3, 2, proj_size=1)
    stored = {name.removesuffix("_l0"): value.detach().numpy() for name, value in module.named_parameters()}
    own = torch_recurrent(LstmLayer(name="a", inputs=("x",), units=2, projection_units=1), stored, gate_order.LSTM_TORCH)
    np.testing.assert_array_equal(own["bias"], stored["bias_ih"] + stored["bias_hh"])
    np.testing.assert_array_equal(own["kernel"], stored["weight_ih"].T)
    assert own["projection"].shape == (2, 1)
    rnn = torch.nn.RNN(3, 2, bias=False)
    plain = {name.removesuffix("_l0"): value.detach().numpy() for name, value in rnn.named_parameters()}
    assert set(torch_recurrent(SimpleRnnLayer(name="a", inputs=("x",), units=2, use_bias=False), plain, ("h",))) == {
        "kernel",
        "recurrent_kernel",
    }


def test_a_torch_linear_is_transposed() -> None:
    assert torch_linear({"weight": numbered(2, 3)})["kernel"].shape == (3, 2)
