"""A chunk of a whole causal network in one call of the compiled kernel, over arrays in host memory.

It takes a session's place in a ChunkCall: the same arrays by the same names. Runs may overlap. Knows no masks and no torch.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellserve.models.description.causal_plan import CausalPlan
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.implementations.packed import library
from cellserve.models.implementations.packed.description import Array
from cellserve.models.implementations.packed.layer import PackedLayer
from cellserve.models.implementations.packed.library import address
from cellserve.models.implementations.packed.operations import ChunkCallDescription, Operations
from cellserve.models.spec import ModelSpec


class PackedChunk:
    """Of a network without an obstacle (operations.py). layers: its recurrent ones, packed for `path`, as in PackedLayer.

    `unseen_bytes`: the weights of all others.
    """

    def __init__(
        self,
        spec: ModelSpec,
        plan: CausalPlan,
        shapes: Mapping[str, TensorShape],
        weights: Mapping[str, Array],
        layers: Mapping[str, PackedLayer],
        path: bytes | None = None,
    ) -> None:
        loaded = library.loaded()
        path = path or library.paths(loaded)[0]
        if others := [name for name, layer in layers.items() if layer.path != path]:
            raise ValueError(
                f"the weights of layer {others[0]!r} are packed for another set of instructions than {path.decode()}"
            )
        self._layers = layers  # whose weights the chunk reads
        handles = {name: layer.handle for name, layer in layers.items() if layer.handle is not None}
        operations = Operations(spec, plan, shapes, weights, handles)
        own = (array for name, array in weights.items() if name.rpartition(".")[0] not in layers)
        self.unseen_bytes = sum(array.nbytes for array in own)
        self._run = loaded.packed_run_chunk
        self._widths = [(shapes[name].sequence, shapes[name].features[-1]) for name in spec.outputs]
        self._dtype = np.dtype(np.float32 if spec.inputs[0].width else np.int64)
        self._handle = loaded.packed_new_chunk(path, operations.description, operations.operations)
        if self._handle is None:
            raise MemoryError("there is no memory for the packed weights of a network")
        weakref.finalize(self, loaded.packed_free_chunk, self._handle).atexit = False  # at exit a thread may still compute

    def run(self, names: Sequence[str], given: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The new state [1, B, width] and the outputs, as ChunkCall asks a session for them."""
        steps, lengths = np.ascontiguousarray(given["steps"], self._dtype), given["lengths"]
        state = np.array(given["state"], np.float32, order="C")
        ending = given.get("ending", _NOBODY)
        rows, longest = steps.shape[:2]
        made = [
            np.empty((rows, longest, width) if sequence else (len(ending), width), np.float32) for sequence, width in self._widths
        ]
        addresses = (ctypes.c_void_p * len(made))(*(address(array) for array in made))
        call = ChunkCallDescription(
            *(rows, len(ending), longest, address(lengths), address(steps), address(state), address(ending)),
            ctypes.addressof(addresses),
        )
        if self._run(self._handle, call):
            raise MemoryError(f"there is no memory for a call of {rows} rows and {longest} steps")
        return [state, *made]


_NOBODY = np.zeros(0, np.int64)
