"""Walks a network's layers in order, one row after another. Knows no cells and no functions, only names and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.shapes import infer_shapes
from cellserve.models.description.state_layout import StateLayout
from cellserve.models.description.step_counts import Fed
from cellserve.models.reference.layers import twin_of
from cellserve.models.reference.recurrence import run_row
from cellserve.models.spec import ModelSpec

Array = npt.NDArray[Any]


def run(
    spec: ModelSpec,
    arrays: Mapping[str, Array],  # canonical names, any float dtype
    inputs: tuple[Array, ...],  # first [B, T, F] or ids [B, T]; further ones [B, T, F] or [B, width]
    lengths: Sequence[Fed],  # [B], each 1..T, of all inputs or each
    *,
    mask: Array | None = None,  # [B, T] bool, True = valid: the mask of the first input
    state: Mapping[str, Array] | None = None,  # {"0.h": [B, units], …}; absent keys start from zeros
    dtype: npt.DTypeLike = np.float64,
) -> tuple[tuple[Array, ...], dict[str, Array]]:
    """Every model output ([B, T, …] with zeros past each row's length, or [B, …]) and every final state {"0.h": [B, units]}.

    Each row is computed alone, at its own length. A layer whose initial state is an input of the graph takes it from there;
    any other takes it from `state`. Each call starts with nothing emitted (see `state_layout.SEEN`).
    """
    arrays = {name: np.asarray(array).astype(dtype) for name, array in arrays.items()}
    inputs = tuple(array if np.issubdtype(array.dtype, np.integer) else array.astype(dtype) for array in map(np.asarray, inputs))
    rows = [
        Row(spec, arrays, [array[row] for array in inputs], _each(fed, len(inputs)), None if mask is None else mask[row])
        for row, fed in enumerate(lengths)
    ]
    for index, row in enumerate(rows):
        row.run({key: np.asarray(values[index]).astype(dtype) for key, values in (state or {}).items()})
    padded_steps = _padded_steps(spec, inputs)
    outputs = tuple(_stack([row.values[name] for row in rows], padded_steps.get(name)) for name in spec.outputs)
    states = {column.key: np.stack([row.states[column.key] for row in rows]) for column in StateLayout.of(spec).public}
    return outputs, states


class Row:
    """One row's tensors by reference: `values` [length, …] or […], `masks` [length], final `states` by key."""

    def __init__(
        self,
        spec: ModelSpec,
        arrays: Mapping[str, Array],
        inputs: list[Array],  # [T, F], [T] or [width]
        lengths: Sequence[int],  # of each input
        mask: Array | None,  # [T]
    ) -> None:
        self.spec = spec
        self.arrays = arrays
        self.values: dict[str, Array] = {}
        self.masks: dict[str, Array | None] = {}
        self.states: dict[str, Array] = {}
        for entry, array, length in zip(spec.inputs, inputs, lengths, strict=True):
            self.values[entry.name] = array if entry.kind == "vector" else array[:length]
        if mask is not None:
            self.masks[spec.inputs[0].name] = np.asarray(mask)[: lengths[0]].astype(bool)

    def run(self, initial: Mapping[str, Array]) -> None:
        recurrent_index = 0
        for layer in self.spec.layers:
            own = {
                name.removeprefix(f"{layer.name}."): array for name, array in self.arrays.items() if _owner(name) == layer.name
            }
            if isinstance(layer, RecurrentLayer):
                self._run_recurrent(recurrent_index, layer, own, initial)
                recurrent_index += 1
                continue
            inputs, masks = [self.values[name] for name in layer.inputs], [self.masks.get(name) for name in layer.inputs]
            twin = twin_of(layer)
            self.values[layer.name] = twin.value(layer, own, inputs, masks)
            self.masks[layer.name] = twin.mask(layer, inputs, masks)

    def _run_recurrent(self, index: int, layer: RecurrentLayer, own: Mapping[str, Array], initial: Mapping[str, Array]) -> None:
        source, *from_graph = layer.inputs
        x, mask = self.values[source], self.masks.get(source)
        state = {
            name: initial.get(f"{index}.{name}", np.zeros(width, dtype=own["kernel"].dtype))
            for name, width in layer.state_widths.items()
        }
        state |= {name: self.values[given] for name, given in zip(layer.state_widths, from_graph)}
        output, final = run_row(layer, own, x, mask, state)
        self.values[layer.name] = output
        self.masks[layer.name] = mask if layer.return_sequences else None
        for name, array in final.items():
            self.values[f"{layer.name}:{name}"] = array
            self.states[f"{index}.{name}"] = array


def _each(fed: Fed, inputs: int) -> tuple[int, ...]:
    return tuple(map(int, fed)) if isinstance(fed, tuple) else (int(fed),) * inputs


def _owner(array_name: str) -> str:
    return array_name.rpartition(".")[0]


def _padded_steps(spec: ModelSpec, inputs: tuple[Array, ...]) -> dict[str, int]:
    """The time axis of every tensor that has one, as long as the inputs' time axis makes it."""
    fed = tuple(1 if entry.kind == "vector" else array.shape[1] for entry, array in zip(spec.inputs, inputs))
    return {name: shape.step_count.steps(fed) for name, shape in infer_shapes(spec).items() if shape.sequence}


def _stack(rows: list[Array], padded_steps: int | None) -> Array:
    """[B, T, …] with zeros past each row's own length, or [B, …] where there is no time."""
    if padded_steps is None:
        return np.stack(rows)
    stacked = np.zeros((len(rows), padded_steps, *rows[0].shape[1:]), dtype=rows[0].dtype)
    for index, row in enumerate(rows):
        stacked[index, : len(row)] = row
    return stacked
