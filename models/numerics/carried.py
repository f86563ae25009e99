"""Parts of a foreign graph, run by onnxruntime: over single steps, or over whole rows. Knows no graph of layers.

Rows that share a call have equal lengths, and share one only where the description says that they may. No library of operators
is ever loaded, and the arrays of floats are given to the session as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cellserve.models.description.layers.carried import Carried, CarriedRowsLayer, CarriedStepsLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.numerics import merging
from cellserve.models.numerics.row_lengths import RowLengths
from cellserve.models.numerics.value import Value

Array = npt.NDArray[Any]
Arrays = Mapping[str, Tensor]
Run = Callable[[Sequence[Array]], Array]
"""What the part reads, rows first -> what it makes, rows first."""

QUIET: Final = 4  # of onnxruntime's levels of logging: what stops the process only


def session_of(content: bytes, arrays: Mapping[str, Array]) -> Run:
    """Raises what onnxruntime does where it does not load the part."""
    from onnxruntime import InferenceSession, OrtValue, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # rows come in all lengths
    options.log_severity_level = QUIET
    held = {name: OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    options.add_external_initializers(list(held), list(held.values()))
    session = InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(given: Sequence[Array]) -> Array:
        made = session.run(["y"], {f"x{place}": np.ascontiguousarray(array) for place, array in enumerate(given)})
        return np.asarray(made[0])

    return run


def _session(layer: Carried, weights: Arrays) -> Run:
    """Made when it is first run: a network may be prepared where there are no numbers. Two threads may both make it."""
    made: list[Run] = []

    def run(given: Sequence[Array]) -> Array:
        if not made:
            made.append(session_of(layer.content, {name: weights[name].numpy(force=True) for name, _ in layer.constants}))
        return made[0](given)

    return run


def _steps(layer: CarriedStepsLayer, weights: Arrays) -> Callable[..., Value]:
    run = _session(layer, weights)

    def compute(*values: Value) -> Value:
        first = values[0]
        if first.lengths is None:
            return Value(_to(_by_rows(run, [_host(value) for value in values], together=layer.together), first.tensor))
        steps, rows = first.tensor.shape[:2]
        side_by_side = [_host(value).reshape(1, steps * rows, *value.tensor.shape[2:]) for value in values]
        made = run(side_by_side).reshape(steps, rows, layer.units)
        mask: Tensor | None = reduce(merging.both, (value.mask for value in values))
        return Value(_to(made, first.tensor), first.lengths, mask)

    return compute


def _rows(layer: CarriedRowsLayer, weights: Arrays) -> Callable[..., Value]:
    run = _session(layer, weights)
    change = layer.retimed

    def compute(*values: Value) -> Value:
        first = values[0]
        ends = first.ends
        counts = [change.steps(length) for length in ends.host]
        if layer.makes == "sequence" and 0 in counts:
            shortest = min(ends.host)
            raise ValueError(f"layer {layer.name!r} needs rows of {change.needed(1)} time steps or more; one has {shortest}")
        given = [_host(value) for value in values]
        sequences = [value.lengths is not None for value in values]
        steps = (change.steps(ends.steps),) if layer.makes == "sequence" else ()
        made = np.zeros((*steps, len(ends.host), layer.units), np.float32)
        for length in sorted(set(ends.host)):
            places = [row for row, own in enumerate(ends.host) if own == length]
            read = [
                array[:length, places].swapaxes(0, 1) if sequence else array[places] for array, sequence in zip(given, sequences)
            ]
            answer = _by_rows(run, read, together=layer.together)
            if layer.makes == "sequence":
                made[: change.steps(length), places] = answer.swapaxes(0, 1)
            else:
                made[places] = answer
        tensor = _to(made, first.tensor)
        return Value(tensor, RowLengths(counts, steps[0], ends.device)) if steps else Value(tensor)

    return compute


def _by_rows(run: Run, given: Sequence[Array], *, together: bool) -> Array:  # rows first
    rows = len(given[0])
    if together or rows == 1:
        return run(given)
    return np.concatenate([run([array[row : row + 1] for array in given]) for row in range(rows)])


def _host(value: Value) -> Array:
    """Ids beyond a row's end are made such as can be looked up."""
    tensor = value.tensor
    if value.lengths is not None and not tensor.is_floating_point():
        tensor = value.lengths.clean(tensor)
    array: Array = tensor.numpy(force=True)
    return array


def _to(made: Array, like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(made, np.float32)).to(like.device)


PREPARE: Final[Mapping[type[Layer], Callable[[Any, Arrays], Callable[..., Value]]]] = {
    CarriedStepsLayer: _steps,
    CarriedRowsLayer: _rows,
}
