"""A padded batch, as the Open Inference Protocol carries it, to rows: [batch, time, …] with `lengths` or a `mask`.

Knows no messages: it takes arrays by name. Rows are views of the arrays given.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cellserve.service.api import checks
from cellserve.service.api.requests import Limits, RowInputs
from cellserve.service.api.signature import LENGTHS, MASK, STATE_PREFIX, InputSignature, Signature
from cellserve.service.api.tensors import FLOATS, INTEGERS, Array
from cellserve.service.errors import InvalidInput


def field_of(name: str) -> str:
    """The path of an input in error details."""
    return f"inputs.{name}"


def datatypes(signature: Signature, name: str) -> tuple[str, ...]:
    """The element types that the input `name` may have, the usual one first. Raises InvalidInput: there is no such input."""
    for given in signature.inputs:
        if given.name == name:
            return INTEGERS if given.kind == "ids" else FLOATS
    if name == LENGTHS:
        return INTEGERS
    if name == MASK:
        return ("BOOL",)
    if name.startswith(STATE_PREFIX) and name.removeprefix(STATE_PREFIX) in signature.states:
        return FLOATS
    required = ", ".join(given.name for given in signature.inputs)
    raise InvalidInput(
        f"the model has no input {name[:64]!r}; it takes {required}, and optionally {', '.join(signature.optional_inputs())}",
        field=field_of(name[:64]),
    )


def rows(signature: Signature, arrays: Mapping[str, Array], limits: Limits) -> RowInputs:
    """arrays: of the datatypes above. Raises InvalidInput: an input is missing; a shape, length, id or value is refused."""
    for given in signature.inputs:
        if given.name not in arrays:
            raise InvalidInput(f"the input {given.name!r} {given.words} is missing", field=field_of(given.name))
    if LENGTHS in arrays and MASK in arrays:
        raise InvalidInput("both lengths and mask are given; send one of them", field=field_of(MASK))
    batch, time = _batch_and_time(signature, arrays, limits)
    lengths = _lengths(signature, arrays.get(LENGTHS), batch, time)
    mask = arrays.get(MASK)
    if mask is not None and mask.shape != (batch, time):
        raise InvalidInput(
            f"{MASK!r} has shape {list(mask.shape)}, expected [{batch}, {time}], batch and time of the inputs",
            field=field_of(MASK),
        )
    valid = mask
    if lengths is not None and int(lengths.min()) < time:
        valid = np.arange(time) < lengths[:, np.newaxis]
    counts = [time] * batch if lengths is None else lengths.tolist()
    columns = [_column(given, arrays[given.name], batch, time, valid) for given in signature.inputs]
    return RowInputs(
        inputs=tuple(
            list(column) if given.kind == "vector" else [row[:count] for row, count in zip(column, counts)]
            for given, column in zip(signature.inputs, columns)
        ),
        masks=None if mask is None else list(mask),
        states=checks.states(signature, _state_arrays(arrays), batch),
        lengths=counts,
        time_steps=time,
    )


def _batch_and_time(signature: Signature, arrays: Mapping[str, Array], limits: Limits) -> tuple[int, int]:
    """Of the first sequence; where all inputs are vectors, one step."""
    first = next((given for given in signature.inputs if given.kind != "vector"), signature.inputs[0])
    array, field = arrays[first.name], field_of(first.name)
    checks.require_rank_and_width(first, array, field)
    checks.require_row_count(array.shape[0], limits, field)
    time = 1 if first.kind == "vector" else array.shape[1]
    checks.require_step_count(time, limits, field)
    return array.shape[0], time


def _lengths(signature: Signature, given: Array | None, batch: int, time: int) -> Array | None:
    if given is None:
        if signature.time_steps not in (None, time) or time < signature.fewest_steps:
            checks.require_lengths(np.full(batch, time), time, signature, field_of(signature.inputs[0].name))
        return None
    if given.shape != (batch,):
        raise InvalidInput(
            f"{LENGTHS!r} has shape {list(given.shape)}, expected [{batch}], one for each row", field=field_of(LENGTHS)
        )
    lengths = given.astype(np.int64, copy=False)
    checks.require_lengths(lengths, time, signature, field_of(LENGTHS))
    return lengths


def _column(given: InputSignature, array: Array, batch: int, time: int, valid: Array | None) -> Array:
    field = field_of(given.name)
    if given.kind == "ids":
        checks.require_shape(given, array, field, (batch, time))
        return checks.ids(given, array, valid, field)
    if given.kind == "vector":
        checks.require_shape(given, array, field, (batch, given.width))
        return checks.finite(given.name, array, None, field)
    checks.require_shape(given, array, field, (batch, time, given.width))
    return checks.finite(given.name, array, valid, field)


def _state_arrays(arrays: Mapping[str, Array]) -> dict[str, tuple[str, Array]]:
    return {
        name.removeprefix(STATE_PREFIX): (field_of(name), array)
        for name, array in arrays.items()
        if name.startswith(STATE_PREFIX)
    }
