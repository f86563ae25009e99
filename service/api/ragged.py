"""A ragged batch, as cellserve.v1 carries it, to rows: the rows one after the other, with their lengths. No padding.

Knows no messages: it takes arrays. Rows are views of the arrays given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from cellserve.service.api import checks
from cellserve.service.api.requests import Limits, RowInputs
from cellserve.service.api.signature import InputSignature, Signature
from cellserve.service.api.tensors import FLOATS, INTEGERS, Array
from cellserve.service.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class RaggedBatch:
    """inputs: of each model input, [sum(lengths), width], [sum(lengths)] ids or [rows, width]. mask: [sum(lengths)] bool.

    states: by key ("0.h"), [rows, width] float32. fields: the path of each input in error details.
    """

    lengths: Sequence[int]
    inputs: Sequence[Array]
    fields: Sequence[str]
    mask: Array | None
    states: Mapping[str, Array]


def datatypes(given: InputSignature) -> tuple[str, ...]:
    """The element types that an input may have, the usual one first."""
    return INTEGERS if given.kind == "ids" else FLOATS


def require_input_count(signature: Signature, count: int) -> None:
    names = [given.name for given in signature.inputs]
    if count != len(names):
        raise InvalidInput(
            f"the request has {count} inputs, but the model takes {len(names)}: {', '.join(names)}",
            field="more_inputs" if count > 1 else "inputs",
        )


def state_datatypes(signature: Signature, key: str) -> tuple[str, ...]:
    """The element types of the initial state `key`. Raises InvalidInput: the model has no such state."""
    if key not in signature.states:
        known = ", ".join(signature.states) or "none"
        raise InvalidInput(f"the model has no state {key[:64]!r}; its states are: {known}", field=f"state.{key[:64]}")
    return FLOATS


def rows(signature: Signature, batch: RaggedBatch, limits: Limits) -> RowInputs:
    """Raises InvalidInput: a shape, length, mask, id, state or value refused."""
    count = len(batch.lengths)
    checks.require_row_count(count, limits, "lengths")
    lengths = list(batch.lengths)  # Python's own integers: few rows are usual, for which arrays cost more
    low, high = min(lengths), max(lengths)
    if low < max(1, signature.fewest_steps) or signature.time_steps is not None:
        checks.require_lengths(np.asarray(lengths, np.int64), None, signature, "lengths")
    checks.require_step_count(high, limits, "lengths")
    ends = list(accumulate(lengths))
    total, starts = ends[-1], [0, *ends[:-1]]
    mask = batch.mask
    if mask is not None and mask.shape != (total,):
        raise InvalidInput(f"'mask' has shape {list(mask.shape)}, expected [{total}], the sum of the lengths", field="mask")
    inputs = tuple(
        _rows_of(given, array, field, count, total, mask, list(zip(starts, ends)))
        for given, array, field in zip(signature.inputs, batch.inputs, batch.fields)
    )
    return RowInputs(
        inputs=inputs,
        masks=None if mask is None else [mask[start:end] for start, end in zip(starts, ends)],
        states=checks.states(signature, {key: (f"state.{key}", array) for key, array in batch.states.items()}, count),
        lengths=lengths,
        time_steps=high,
    )


def _rows_of(
    given: InputSignature,
    array: Array,
    field: str,
    count: int,
    total: int,
    mask: Array | None,
    spans: Sequence[tuple[int, int]],
) -> Sequence[Array]:
    if given.kind == "vector":
        checks.require_shape(given, array, field, (count, given.width))
        return list(checks.finite(given.name, array, None, field))
    if given.kind == "ids":
        checks.require_shape(given, array, field, (total,), ", the sum of the lengths")
        column: Array = checks.ids(given, array, mask, field)
    else:
        checks.require_shape(given, array, field, (total, given.width), ", the sum of the lengths and the features")
        column = checks.finite(given.name, array, mask, field)
    return [column[start:end] for start, end in spans]
