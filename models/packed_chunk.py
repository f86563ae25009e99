"""A chunk of a whole causal network in one run of ONNX Runtime, from arrays to arrays in host memory.

The steps of all rows lie one after the other, without padding. Beside the run there are a handful of NumPy calls: each operation
of a library hands the interpreter over, and a server has another thread waiting for it. It cannot mask: it tells which steps it
must not be given. Knows no padding policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from cellserve.models.passes import Plan
    from cellserve.models.shapes import TensorShape
    from cellserve.models.spec import ModelSpec

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PackedAnswer:
    """outputs: in the order of the spec; a sequence [N, …] as packed as the steps were, a vector [E, …] of the ending rows.

    state: [B, width], of each row at its own end.
    """

    outputs: tuple[Array, ...]
    state: npt.NDArray[np.float32]


class PackedChunk:
    """`sessions`: by the number of rows from which on each is used, which begins at 1. Runs may overlap."""

    def __init__(
        self, sessions: Mapping[int, InferenceSession], sequence_outputs: Sequence[bool], masked: Callable[[Array], bool] | None
    ) -> None:
        from cellserve.models.implementations import onnx_chunk

        self._masked = masked
        self._sessions = sorted(sessions.items(), key=lambda entry: entry[0], reverse=True)
        self._names = [onnx_chunk.NEW_STATE, *(onnx_chunk.output_name(index) for index in range(len(sequence_outputs)))]
        self._any_sequence, self._any_vector = any(sequence_outputs), not all(sequence_outputs)

    @classmethod
    def of(
        cls, spec: ModelSpec, plan: Plan, shapes: Mapping[str, TensorShape], weights: Mapping[str, Array]
    ) -> PackedChunk | None:
        """None where ONNX cannot say the whole of it. Every recurrent layer must be one that onnxruntime can run."""
        from cellserve.models.implementations import onnx_chunk
        from cellserve.models.implementations.onnxruntime import new_session, scanned_from

        if onnx_chunk.obstacle(spec, plan) is not None:
            return None
        sequences = frozenset(reference for reference, shape in shapes.items() if shape.sequence)
        scanned = {layer.name: rows for layer in spec.recurrent_layers if (rows := scanned_from(layer)) is not None}
        sessions = {
            rows: new_session(
                onnx_chunk.serialized(
                    spec, plan, weights, sequences, frozenset(name for name, least in scanned.items() if least <= rows)
                )
            )
            for rows in {1, *scanned.values()}
        }
        masked = partial(onnx_chunk.masked, spec) if onnx_chunk.masks(spec) else None
        return cls(sessions, [shapes[reference].sequence for reference in spec.outputs], masked)

    def refuses(self, steps: Array) -> bool:  # [N, F] float32, or ids [N] int64
        """Whether a layer masks any of these steps, which takes another way."""
        return self._masked is not None and self._masked(steps)

    @property
    def kinds_of_batches(self) -> list[int]:
        """A number of rows for each way in which batches are run."""
        return [least for least, _ in self._sessions]

    def __call__(
        self,
        steps: Array,  # [N, F] float32, or ids [N] int64
        lengths: Sequence[int],  # [B], each at least 1; their sum is N
        state: npt.NDArray[np.float32],  # [B, width]
        ending: Sequence[int],  # the rows whose vectors are wanted
    ) -> PackedAnswer:
        """Every row is advanced by exactly its length; `state` is left as it was. No step may be one that it refuses."""
        rows = len(lengths)
        places, back = _places(lengths, self._any_sequence)
        given: dict[str, Array] = {"steps": steps, "places": places, "lengths": np.array(lengths, np.int32), "state": state}
        if back is not None:
            given["back"] = back
        if self._any_vector:
            given["ending"] = np.array(ending, np.int64)
        session = next(session for least, session in self._sessions if rows >= least)
        new_state, *outputs = session.run(self._names, given)
        return PackedAnswer(tuple(outputs), new_state)


def _places(lengths: Sequence[int], wanted_back: bool) -> tuple[Array, Array | None]:
    """([T, B]: which of the packed steps stands where; [N]: where in [T B] each of them stands, if it is wanted)."""
    rows, longest = len(lengths), max(lengths)
    times = np.arange(longest)
    if rows == 1:
        return times[:, np.newaxis], times if wanted_back else None
    even = rows * longest == sum(lengths)
    starts = np.arange(0, (rows + 1) * longest, longest) if even else np.array([0, *accumulate(lengths)])
    places = times[:, np.newaxis] + starts[:-1]
    if not even:
        np.minimum(places, starts[1:] - 1, out=places)
    if not wanted_back:
        return places, None
    back = np.empty(starts[-1], np.int64)  # beyond a row's end its last step is named again: the first to name it must win
    back[places[::-1].ravel()] = np.arange(longest * rows).reshape(longest, rows)[::-1].ravel()
    return places, back
