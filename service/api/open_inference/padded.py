"""A padded batch, as the Open Inference Protocol carries it, to rows: [batch, time, …] with `lengths` or a `mask`.

Knows no messages: it takes arrays by name. Rows are views of the arrays given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cellserve.service.api.requests import checks
from cellserve.service.api.requests.empty_rows import stood_in_for
from cellserve.service.api.requests.row_inputs import Limits, RowInputs
from cellserve.service.api.requests.signature import LENGTHS, MASK, STATE_PREFIX, InputSignature, Signature
from cellserve.service.api.requests.tensors import FLOATS, INTEGERS, Array
from cellserve.service.errors import InvalidInput


def field_of(name: str) -> str:
    """The path of an input in error details."""
    return f"inputs.{name}"


def datatypes(signature: Signature, name: str) -> tuple[str, ...]:
    """The element types that the input `name` may have, the usual one first. Raises InvalidInput: there is no such input."""
    for given in signature.inputs:
        if given.name == name:
            integers = INTEGERS if given.width is None else (*INTEGERS, *FLOATS)
            return integers if given.kind == "ids" else FLOATS
    if name == LENGTHS or any(given.lengths_name == name for given in signature.inputs):
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
    batch, times = _batch_and_times(signature, arrays, limits)
    columns = _lengths(signature, arrays, batch, times)
    mask = arrays.get(MASK)
    if mask is not None:
        checks.require_mask(signature, mask, (batch, times[0]), "batch and time of the inputs", field_of(MASK))
    counts = [[time] * batch if own is None else own.tolist() for time, own in zip(times, columns)]
    inputs: list[list[Array]] = []
    for given, own, time, steps in zip(signature.inputs, columns, times, counts):
        valid = mask if given.source == 0 else None
        if own is not None and int(own.min()) < time:
            valid = np.arange(time) < own[:, np.newaxis]
        column = _column(given, arrays[given.name], batch, time, valid)
        inputs.append(list(column) if given.kind == "vector" else [row[:count] for row, count in zip(column, steps)])
    alone = len(inputs) == 1
    row_inputs = RowInputs(
        inputs=tuple(inputs),
        masks=None if mask is None else list(mask),
        states=checks.states(signature, _state_arrays(arrays), batch),
        lengths=counts[0] if alone else list(zip(*counts)),
        time_steps=times[0] if alone else times,
    )
    return stood_in_for(signature, row_inputs)


def _batch_and_times(signature: Signature, arrays: Mapping[str, Array], limits: Limits) -> tuple[int, tuple[int, ...]]:
    """Rows, and the time dimension of each input: of vectors that of the first sequence, or one step where there is none.

    Inputs that are joined have one time dimension, that of the first among them.
    """
    first = signature.inputs[signature.timed]
    checks.require_rank_and_width(first, arrays[first.name], field_of(first.name))
    batch = arrays[first.name].shape[0]
    checks.require_row_count(batch, limits, field_of(first.name))
    times: list[int] = []
    for number, given in enumerate(signature.inputs):
        if given.source < number or given.kind == "vector":
            times.append(times[given.source] if given.source < number else 1)
            continue
        array, field = arrays[given.name], field_of(given.name)
        checks.require_rank_and_width(given, array, field)
        checks.require_step_count(array.shape[1], given, limits, field)
        times.append(array.shape[1])
    return batch, tuple(times)


def _lengths(signature: Signature, arrays: Mapping[str, Array], batch: int, times: Sequence[int]) -> list[Array | None]:
    """Of each input: [batch] int64, None for all of its steps. What is said of one holds for all that are joined with it.

    Where nothing is said of an input, it has the lengths of the first sequence, if its time dimension is the same.
    """
    said: dict[int, Array] = {}
    for given in signature.inputs:
        if given.lengths_name is None or given.lengths_name not in arrays:
            continue
        own = _checked(given, arrays[given.lengths_name], batch, times[given.source])
        if not np.array_equal(said.setdefault(given.source, own), own):
            other = signature.inputs[given.source].name
            raise InvalidInput(
                f"{given.name!r} is joined with {other!r} step by step: their lengths must be equal",
                field=field_of(given.lengths_name),
            )
    timed = signature.inputs[signature.timed].source
    columns: list[Array | None] = []
    for given, time in zip(signature.inputs, times):
        lengths = said.get(given.source)
        if given.kind == "vector":
            lengths = None
        elif lengths is None and timed in said and time == times[timed]:
            lengths = _checked(given, said[timed], batch, time)
        elif lengths is None and (time < given.fewest_steps or given.time_steps not in (None, time) or time % given.multiple_of):
            checks.require_lengths(np.full(batch, time), time, given, field_of(given.name))
        columns.append(lengths)
    return columns


def _checked(given: InputSignature, lengths: Array, batch: int, time: int) -> Array:
    field = field_of(given.lengths_name or LENGTHS)
    if lengths.shape != (batch,):
        raise InvalidInput(
            f"{given.lengths_name!r} has shape {list(lengths.shape)}, expected [{batch}], one for each row", field=field
        )
    own = lengths.astype(np.int64, copy=False)
    checks.require_lengths(own, time, given, field)
    return own


def _column(given: InputSignature, array: Array, batch: int, time: int, valid: Array | None) -> Array:
    field = field_of(given.name)
    if given.kind == "ids":
        checks.require_shape(given, array, field, (batch, time, *given.wide))
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
