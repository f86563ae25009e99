"""Gate orders: blocks land where the other framework expects them."""

from __future__ import annotations

import numpy as np
import pytest

from cellserve.models.description import gate_order


@pytest.mark.parametrize(
    ("source", "target", "places"),
    [
        (gate_order.LSTM_KERAS_1_ARRAYS, gate_order.LSTM, (0, 2, 1, 3)),
        (gate_order.LSTM_TENSORFLOW_1, gate_order.LSTM, (0, 2, 1, 3)),
        (gate_order.LSTM_TORCH, gate_order.LSTM, (0, 1, 2, 3)),
        (gate_order.LSTM, gate_order.LSTM_ONNX, (0, 3, 1, 2)),
        (gate_order.GRU_TORCH, gate_order.GRU, (1, 0, 2)),
        (gate_order.GRU_ONNX, gate_order.GRU, (0, 1, 2)),
    ],
)
def test_permutations(source: gate_order.GateOrder, target: gate_order.GateOrder, places: tuple[int, ...]) -> None:
    assert gate_order.permutation(source, target) == places


def test_reorder_moves_whole_blocks_and_back() -> None:
    kernel = np.arange(24.0).reshape(2, 12)  # gates r, z, n of 4 units
    canonical = gate_order.reorder(kernel, gate_order.GRU_TORCH, gate_order.GRU)
    np.testing.assert_array_equal(canonical[0], [4, 5, 6, 7, 0, 1, 2, 3, 8, 9, 10, 11])
    np.testing.assert_array_equal(gate_order.reorder(canonical, gate_order.GRU, gate_order.GRU_TORCH), kernel)


def test_reorder_along_another_axis() -> None:
    np.testing.assert_array_equal(gate_order.reorder(np.arange(4.0), ("i", "c", "f", "o"), gate_order.LSTM, axis=0), [0, 2, 1, 3])


def test_orders_of_different_gates_are_refused() -> None:
    with pytest.raises(ValueError, match="do not hold the same gates"):
        gate_order.permutation(gate_order.GRU, gate_order.LSTM)
