"""A recurrent layer in the compiled kernel: its packed weights, and a run of it over arrays in host memory.

Runs may overlap: the weights are only read, and each thread has memory of its own. Knows no masks and no torch.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping, Sequence

import numpy as np

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.implementations.packed.description import Array, CellDescription, contiguous
from cellserve.models.implementations.packed.library import address, bfloat16_path, paths


class PackedLayer:
    """path: an instruction set of `library.paths`, or its `bfloat16_path`; None for the fastest in float32 that there is.

    `unseen_bytes`: its weights.
    """

    def __init__(
        self, library: ctypes.CDLL, layer: RecurrentLayer, weights: Mapping[str, Array], path: bytes | None = None
    ) -> None:
        arrays = contiguous(weights)
        self._library = library
        self.path = path or paths(library)[0]
        halved = 2 if self.path == bfloat16_path(library) else 1
        self.unseen_bytes = sum(array.nbytes // (halved if array.ndim == 2 else 1) for array in arrays.values())
        self._width = layer.output_units
        self.handle: int | None = library.packed_new_layer(self.path, CellDescription.of(layer, arrays))
        if self.handle is None:
            raise MemoryError(f"there is no memory for the packed weights of layer {layer.name!r}")
        weakref.finalize(self, library.packed_free_layer, self.handle).atexit = False  # at exit a thread may still compute

    def run(
        self,
        inputs: Array,  # [T, B, F]
        lengths: Sequence[int],  # [B], each 1 … T
        states: tuple[Array, ...],  # h [B, output_units], and c [B, units] of an LSTM: advanced in place
    ) -> Array:
        """[T, B, output_units], zeros beyond each length."""
        steps, rows, _ = inputs.shape
        outputs = np.zeros((steps, rows, self._width), np.float32)
        given = np.array(lengths, np.int32)
        h, c = states[0], states[-1]
        x_step, x_row = (stride // 4 for stride in inputs.strides[:2])
        failed = self._library.packed_run_layer(
            *(self.handle, rows, address(given), inputs.ctypes.data, x_step, x_row),
            *(address(h), h.shape[1], address(c), c.shape[1]),
            *(address(outputs), rows * self._width, self._width),
        )
        if failed:
            raise MemoryError(f"there is no memory for a call of {rows} rows and {steps} steps")
        return outputs
