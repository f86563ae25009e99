"""Rows of no time steps: computed as one masked step, whose outputs are taken away again. Pure; knows no protocol.

Which models have an answer to them, `models.empty_rows` says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellserve.models.description.step_counts import steps_of
from cellserve.service.api.requests.row_inputs import RowInputs
from cellserve.service.api.requests.signature import OutputSignature, Signature
from cellserve.service.api.requests.tensors import Array
from cellserve.service.engine.batch import Delivery


def stood_in_for(signature: Signature, rows: RowInputs) -> RowInputs:
    """`rows`, with a step of zeros in each empty one, and a mask that hides it."""
    lengths = rows.lengths if len(rows.inputs) == 1 else [steps_of(fed, 0) for fed in rows.lengths]
    if 0 not in lengths:
        return rows
    empty = [length == 0 for length in lengths]
    inputs = tuple(
        column if given.kind == "vector" else [_stand_in(row) if none else row for row, none in zip(column, empty)]
        for given, column in zip(signature.inputs, rows.inputs)
    )
    masks = rows.masks if rows.masks is not None else [None] * len(empty)
    hidden = [np.zeros(1, np.bool_) if none else mask for none, mask in zip(empty, masks)]
    return rows._replace(inputs=inputs, masks=hidden)


def answers(output: OutputSignature, position: int, rows: RowInputs, done: Sequence[Delivery]) -> list[Array]:
    """The output number `position` of each row, without the steps that stood in."""
    arrays = [delivery.outputs[position] for delivery in done]
    if not output.per_step or rows.masks is None:
        return arrays
    return [array if steps_of(fed, 0) else array[: output.step_count.steps(fed)] for array, fed in zip(arrays, rows.lengths)]


def _stand_in(row: Array) -> Array:  # [T, …]
    """An input with steps of its own keeps them."""
    return row if len(row) else np.zeros((1, *row.shape[1:]), row.dtype)
