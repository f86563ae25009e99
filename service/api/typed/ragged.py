"""A ragged batch, as cellserve.v1 carries it, to rows: the rows one after the other, with their lengths. No padding.

Knows no messages: it takes arrays. Rows are views of the arrays given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from cellserve.service.api.requests import checks
from cellserve.service.api.requests.empty_rows import stood_in_for
from cellserve.service.api.requests.row_inputs import Limits, RowInputs
from cellserve.service.api.requests.signature import InputSignature, Signature
from cellserve.service.api.requests.tensors import FLOATS, INTEGERS, Array
from cellserve.service.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class RaggedBatch:
    """inputs: of each model input, [sum(its lengths), width], [sum(its lengths)] ids or [rows, width].

    lengths: time steps of each row, of the first input that is a sequence and of those without more_lengths.
    more_lengths: of each input after the first; empty where nothing is said. mask: [sum(lengths)] bool, of the first input.
    states: by key ("0.h"), [rows, width] float32. fields: the path of each input in error details.
    """

    lengths: Sequence[int]
    inputs: Sequence[Array]
    fields: Sequence[str]
    mask: Array | None
    states: Mapping[str, Array]
    more_lengths: Sequence[Sequence[int]] = ()


def datatypes(given: InputSignature) -> tuple[str, ...]:
    """The element types that an input may have, the usual one first."""
    if given.kind == "ids":
        return INTEGERS if given.width is None else (*INTEGERS, *FLOATS)
    return FLOATS


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
    columns = _lengths(signature, batch, limits)
    mask, total = batch.mask, sum(columns[0])
    if mask is not None:
        checks.require_mask(signature, mask, (total,), "the sum of the lengths", "mask")
    inputs = tuple(
        _rows_of(given, array, field, count, mask if given.source == 0 else None, _spans(lengths))
        for given, array, field, lengths in zip(signature.inputs, batch.inputs, batch.fields, columns)
    )
    alone = len(columns) == 1
    row_inputs = RowInputs(
        inputs=inputs,
        masks=None if mask is None else [mask[start:end] for start, end in _spans(columns[0])],
        states=checks.states(signature, {key: (f"state.{key}", array) for key, array in batch.states.items()}, count),
        lengths=columns[0] if alone else list(zip(*columns)),
        time_steps=max(columns[0]) if alone else tuple(map(max, columns)),
    )
    return stood_in_for(signature, row_inputs)


def _lengths(signature: Signature, batch: RaggedBatch, limits: Limits) -> list[list[int]]:
    """Of each input: the time steps of each row."""
    if len(signature.inputs) == 1 and not batch.more_lengths:  # the usual request
        lengths = list(batch.lengths)
        _check(signature, 0, lengths, (), limits, "lengths")
        return [lengths]
    if len(batch.more_lengths) > len(signature.inputs) - 1:
        raise InvalidInput(
            f"there are more_lengths for {len(batch.more_lengths)} inputs; "
            f"the model takes {len(signature.inputs) - 1} beside the first",
            field="more_lengths",
        )
    named = [(batch.lengths, "lengths"), *((own, f"more_lengths[{i}]") for i, own in enumerate(batch.more_lengths))]
    columns: list[list[int]] = []
    for number, given in enumerate(signature.inputs):
        own, field = named[number] if number < len(named) and len(named[number][0]) else (batch.lengths, "lengths")
        if given.kind == "vector" and number and field != "lengths":
            raise InvalidInput(f"{given.name!r} is a vector, and has no lengths", field=field)
        elsewhere = given.kind != "vector" and given.source != signature.inputs[signature.timed].source
        if field == "lengths" and elsewhere and len(batch.lengths) == 1 and batch.inputs[number].ndim:
            own, field = batch.inputs[number].shape[:1], batch.fields[number]  # all that is there
        lengths = list(own)  # Python's own integers: few rows are usual, for which arrays cost more
        if len(lengths) != len(batch.lengths):
            raise InvalidInput(f"{field} has {len(lengths)} entries for {len(batch.lengths)} rows", field=field)
        _check(signature, number, lengths, columns, limits, field)
        columns.append(lengths)
    return columns


def _check(
    signature: Signature, number: int, lengths: list[int], before: Sequence[list[int]], limits: Limits, field: str
) -> None:
    """lengths: of the input `number`. before: of those ahead of it."""
    given = signature.inputs[number]
    if given.kind == "vector" and given.time_steps is None:
        return
    if min(lengths) < given.fewest_steps or min(lengths) < 0 or given.time_steps is not None or given.multiple_of > 1:
        checks.require_lengths(np.asarray(lengths, np.int64), None, given, field)
    checks.require_step_count(max(lengths), given, limits, field)
    if given.source < number and lengths != before[given.source]:
        other = signature.inputs[given.source].name
        raise InvalidInput(f"{given.name!r} is joined with {other!r} step by step: their lengths must be equal", field=field)


def _spans(lengths: Sequence[int]) -> list[tuple[int, int]]:
    ends = list(accumulate(lengths))
    return list(zip([0, *ends[:-1]], ends))


def _rows_of(
    given: InputSignature,
    array: Array,
    field: str,
    count: int,
    mask: Array | None,
    spans: Sequence[tuple[int, int]],
) -> Sequence[Array]:
    total = spans[-1][1]
    if given.kind == "vector":
        checks.require_shape(given, array, field, (count, given.width))
        return list(checks.finite(given.name, array, None, field))
    if given.kind == "ids":
        checks.require_shape(given, array, field, (total, *given.wide), ", the sum of the lengths")
        column: Array = checks.ids(given, array, mask, field)
    else:
        checks.require_shape(given, array, field, (total, given.width), ", the sum of the lengths and the features")
        column = checks.finite(given.name, array, mask, field)
    return [column[start:end] for start, end in spans]
