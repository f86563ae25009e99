"""The one place that knows in which order each framework stores the gates' blocks.

Canonical is Keras 2: LSTM i, f, c, o and GRU z, r, h, where z keeps the old state. The same gates elsewhere, by their
canonical letters (torch's g and n, TensorFlow's j and u, are c, h, c and z here). Knows no transposes and no file formats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

GateOrder = tuple[str, ...]

LSTM: Final[GateOrder] = ("i", "f", "c", "o")
LSTM_TORCH: Final[GateOrder] = ("i", "f", "c", "o")
LSTM_KERAS_1_ARRAYS: Final[GateOrder] = ("i", "c", "f", "o")  # the 12 arrays of Keras 0.x and 1.x, four triples (W, U, b)
LSTM_TENSORFLOW_1: Final[GateOrder] = ("i", "c", "f", "o")
LSTM_ONNX: Final[GateOrder] = ("i", "o", "f", "c")

GRU: Final[GateOrder] = ("z", "r", "h")
GRU_TORCH: Final[GateOrder] = ("r", "z", "h")
GRU_KERAS_1_ARRAYS: Final[GateOrder] = ("z", "r", "h")
GRU_TENSORFLOW_1_GATES: Final[GateOrder] = ("r", "z")  # the candidate has a kernel of its own
GRU_ONNX: Final[GateOrder] = ("z", "r", "h")

SIMPLE_RNN: Final[GateOrder] = ("h",)
JZS: Final[GateOrder] = ("z", "r", "h")


def permutation(source: GateOrder, target: GateOrder) -> tuple[int, ...]:
    """For each block of `target`, the place of that gate in `source`. Both hold the same gates."""
    if sorted(source) != sorted(target):
        raise ValueError(f"{source} and {target} do not hold the same gates")
    return tuple(source.index(gate) for gate in target)


def reorder(array: NDArray[np.floating], source: GateOrder, target: GateOrder, axis: int = -1) -> NDArray[np.floating]:
    """The blocks of `array` along `axis` (len(source) equal ones), put from `source` order into `target` order."""
    blocks: Sequence[NDArray[np.floating]] = np.split(array, len(source), axis=axis)
    return np.concatenate([blocks[place] for place in permutation(source, target)], axis=axis)
