"""A chunk of a whole causal network in one run of ONNX Runtime or of the packed kernel, from arrays to arrays in host memory.

The steps of all rows stand side by side, each row from its first step on. Beside the run there is nearly nothing: each operation
of a library on more than a few numbers hands the interpreter over, and a server has another thread waiting for it. It cannot
mask: it tells which steps it must not be given. Knows no padding policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from cellserve.models.description.causal_plan import CausalPlan
    from cellserve.models.description.tensor_shape import TensorShape
    from cellserve.models.implementations.implementation import Precision
    from cellserve.models.implementations.packed.layer import PackedLayer
    from cellserve.models.spec import ModelSpec

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ChunkAnswer:
    """outputs: in the order of the spec; a sequence [B, T, …], anything beyond a row's end; a vector [E, …] of the ending rows.

    state: [B, width], of each row at its own end.
    """

    outputs: tuple[Array, ...]
    state: npt.NDArray[np.float32]


class Session(Protocol):
    def run(self, names: Sequence[str], given: Mapping[str, Array]) -> list[Array]:
        """given: "steps", "lengths", "state" [1, B, width] and, if it has outputs that are vectors, "ending".

        The new state [1, B, width] and the outputs, as `ChunkAnswer` has them. Runs may overlap.
        """
        ...


class ChunkCall:
    """`sessions`: by the number of rows from which on each is used, which begins at 1. names: of what they make, for them.

    `pads`: whether it computes every row up to the longest.
    """

    def __init__(
        self,
        sessions: Mapping[int, Session],
        names: Sequence[str],
        any_vector: bool,
        masked: Callable[[Array], bool] | None,
        pads: bool,
    ) -> None:
        self.pads = pads
        self._masked = masked
        self._sessions = sorted(sessions.items(), key=lambda entry: entry[0], reverse=True)
        self._names = names
        self._any_vector = any_vector

    @classmethod
    def of(
        cls, spec: ModelSpec, plan: CausalPlan, shapes: Mapping[str, TensorShape], weights: Mapping[str, Array]
    ) -> ChunkCall | None:
        """None where ONNX cannot say the whole of it. Every recurrent layer must be one that onnxruntime can run.

        ONNX Runtime is imported here, and nothing else that computes.
        """
        from cellserve.models.implementations.onnxruntime import chunk as onnx_chunk
        from cellserve.models.implementations.onnxruntime.scan import scanned_from
        from cellserve.models.implementations.onnxruntime.session import new_session

        if onnx_chunk.obstacle(spec, plan) is not None:
            return None
        scanned = {layer.name: rows for layer in spec.recurrent_layers if (rows := scanned_from(layer)) is not None}
        sessions = {
            rows: new_session(
                onnx_chunk.model_of(
                    spec, plan, shapes, weights, frozenset(name for name, least in scanned.items() if least <= rows)
                )
            )
            for rows in {1, *scanned.values()}
        }
        names = [onnx_chunk.NEW_STATE, *(onnx_chunk.output_name(index) for index in range(len(spec.outputs)))]
        return cls(sessions, names, _any_vector(spec, shapes), _masked(spec), pads=True)

    @classmethod
    def packed(
        cls,
        spec: ModelSpec,
        plan: CausalPlan,
        shapes: Mapping[str, TensorShape],
        weights: Mapping[str, Array],
        precision: Precision,
    ) -> tuple[ChunkCall, Mapping[str, PackedLayer]] | None:
        """With every recurrent layer, packed, by name. None where the packed kernel cannot do the whole of it."""
        from cellserve.models.implementations.implementation import BFLOAT16
        from cellserve.models.implementations.own_arrays import own_arrays
        from cellserve.models.implementations.packed import library, operations
        from cellserve.models.implementations.packed.chunk import PackedChunk
        from cellserve.models.implementations.packed.layer import PackedLayer

        if library.missing() is not None or operations.obstacle(spec, plan) is not None:
            return None
        own, loaded = own_arrays(spec.layers, weights), library.loaded()
        path = library.bfloat16_path(loaded) if precision == BFLOAT16 else None
        layers = {layer.name: PackedLayer(loaded, layer, own[layer.name], path) for layer in spec.recurrent_layers}
        chunk = PackedChunk(spec, plan, shapes, weights, layers, path)
        return cls({1: chunk}, (), _any_vector(spec, shapes), _masked(spec), pads=False), layers

    @property
    def masks(self) -> bool:
        """Whether it refuses any steps at all."""
        return self._masked is not None

    def refuses(self, steps: Array) -> bool:  # [N, F] float32, or ids [N] int64
        """Whether a layer masks any of these steps of a row, which takes another way."""
        return self._masked is not None and self._masked(steps)

    @property
    def kinds_of_batches(self) -> list[int]:
        """A number of rows for each way in which batches are run."""
        return [least for least, _ in self._sessions]

    def __call__(
        self,
        steps: Array,  # [B, T, F] float32, or ids [B, T] int64; anything, ids in the vocabulary, beyond the end of a row
        lengths: Sequence[int],  # [B], each 1 … T
        state: npt.NDArray[np.float32],  # [B, width]
        ending: Sequence[int],  # the rows whose vectors are wanted
    ) -> ChunkAnswer:
        """Every row is advanced by exactly its length; `state` is left as it was. No step may be one that it refuses."""
        rows = len(lengths)
        given: dict[str, Array] = {"steps": steps, "lengths": np.array(lengths, np.int32), "state": state[np.newaxis]}
        if self._any_vector:
            given["ending"] = np.array(ending, np.int64)
        session = next(session for least, session in self._sessions if rows >= least)
        new_state, *outputs = session.run(self._names, given)
        return ChunkAnswer(tuple(outputs), new_state[0])


def _any_vector(spec: ModelSpec, shapes: Mapping[str, TensorShape]) -> bool:
    return not all(shapes[reference].sequence for reference in spec.outputs)


def _masked(spec: ModelSpec) -> Callable[[Array], bool] | None:
    from cellserve.models.implementations.masked_steps import masked, masks

    return partial(masked, spec) if masks(spec) else None
