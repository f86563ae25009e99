"""A small input of a network and what it answers: kept beside the weights, to be asked again wherever they are loaded.

Knows how to draw one from a description and how to write it as JSON; not what answers it (parity.py).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.input_step_counts import input_step_counts
from cellserve.models.description.layers.stepwise import EmbeddingLayer, MaskingLayer
from cellserve.models.description.shapes import fewest_steps, required_steps
from cellserve.models.description.step_counts import Fed, steps_of
from cellserve.models.spec import InputSpec, ModelSpec

Array = npt.NDArray[Any]
SEED: Final = 20150327
LENGTHS: Final = (7, 4, 1)  # time steps of the rows, more where windows must fit, others where the model fixes them


@dataclass(frozen=True, slots=True)
class GoldenPair:
    """Batch-major: inputs [B, T, F], ids [B, T] or vectors [B, width]; outputs [B, T, …] or [B, …]; state {"0.h": [B, units]}.

    lengths: of each row, of all inputs or each. bfloat16_bound: how far answers may lie from these whose recurrent layers
    multiply in bfloat16, as parity_bounds.py has it; None: nobody has measured.
    """

    inputs: tuple[Array, ...]
    lengths: tuple[Fed, ...]
    outputs: tuple[Array, ...]
    state: Mapping[str, Array]
    bfloat16_bound: float | None = None

    @property
    def first_lengths(self) -> tuple[int, ...]:
        """Of the first input."""
        return tuple(steps_of(fed, 0) for fed in self.lengths)

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": [_written(array) for array in self.inputs],
            "lengths": [fed if isinstance(fed, int) else list(fed) for fed in self.lengths],
            "outputs": [_written(array) for array in self.outputs],
            "state": {key: _written(array) for key, array in self.state.items()},
            **({} if self.bfloat16_bound is None else {"bfloat16_bound": self.bfloat16_bound}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> GoldenPair:
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError for what that did not write."""
        return cls(
            tuple(_read(entry) for entry in value["inputs"]),
            tuple(tuple(map(int, fed)) if isinstance(fed, list) else int(fed) for fed in value["lengths"]),
            tuple(_read(entry) for entry in value["outputs"]),
            {str(key): _read(entry) for key, entry in value["state"].items()},
            None if (bound := value.get("bfloat16_bound")) is None else float(bound),
        )


def golden_inputs(spec: ModelSpec) -> tuple[tuple[Array, ...], tuple[Fed, ...]]:
    """The same inputs and lengths for one description, always: features N(0, 1), ids below the vocabulary, some steps masked.

    Inputs that may have lengths of their own have others than the first.
    """
    random = np.random.default_rng(SEED)
    feds = _lengths(spec)
    inputs = (_drawn(spec, entry, [steps_of(fed, i) for fed in feds], random) for i, entry in enumerate(spec.inputs))
    return tuple(inputs), feds


def _lengths(spec: ModelSpec) -> tuple[Fed, ...]:
    step_counts = input_step_counts(spec)
    first = min((step_count.source for step_count in step_counts.values()), default=0)
    turns = [step_counts[entry.name].source - first if entry.name in step_counts else 0 for entry in spec.inputs]
    known = list(zip(turns, required_steps(spec), fewest_steps(spec)))
    feds = [
        tuple(fewest - 1 + LENGTHS[(row + turn) % len(LENGTHS)] if fixed is None else fixed for turn, fixed, fewest in known)
        for row in range(len(LENGTHS))
    ]
    return tuple(feds) if any(turns) else tuple(fed[first] for fed in feds)


def _drawn(spec: ModelSpec, entry: InputSpec, lengths: Sequence[int], random: np.random.Generator) -> Array:
    rows, steps = len(lengths), max(lengths)
    wide = () if entry.width is None else (entry.width,)
    if entry.kind == "ids":
        return random.integers(0, vocabulary(spec, entry.name), size=(rows, steps, *wide), dtype=np.int64)
    shape = (rows, entry.width or 0) if entry.kind == "vector" else (rows, steps, entry.width or 0)
    values = random.standard_normal(shape).astype(np.float32)
    for layer in spec.layers:
        if isinstance(layer, MaskingLayer) and layer.inputs == (entry.name,):
            values[random.random((rows, steps)) < 0.3] = layer.mask_value
    return values


def vocabulary(spec: ModelSpec, name: str) -> int:
    """How many ids the input may hold: from 0 to one less."""
    sizes = [layer.vocabulary for layer in spec.layers if isinstance(layer, EmbeddingLayer) and layer.inputs == (name,)]
    return min(sizes, default=1)


def _written(array: Array) -> dict[str, Any]:
    plain = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<")))
    return {"dtype": array.dtype.name, "shape": list(array.shape), "base64": base64.b64encode(plain.tobytes()).decode("ascii")}


def _read(entry: Mapping[str, Any]) -> Array:
    name = entry["dtype"]
    if name not in ("float32", "float64", "int64"):
        raise ValueError(f"golden arrays are float32, float64 or int64, not {name!r}")
    values = np.frombuffer(base64.b64decode(entry["base64"]), dtype=np.dtype(name).newbyteorder("<"))
    return values.reshape(tuple(entry["shape"])).astype(name)
