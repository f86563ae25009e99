"""What a caller may pass as input, made into rows: one array per sequence. Knows no wire and no server.

Three forms of input, told apart by type and dtype:

    one sequence      array [T, F] of floats, or ids [T] of integers
    a list            such arrays, of any lengths
    a batch           array [B, T, F], or ids [B, T] of integers; with `lengths` [B] what lies beyond a row's length is padding

A two-dimensional array of integers is therefore a batch of ids, never one sequence of integer features: cast those to float32.
Further inputs have the form of the first: each is one, a list or a batch of sequences, with lengths of their own, or of vectors.
Shapes and dtypes are judged here only as far as the form needs it; the model's own wishes are known to the server alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import zip_longest
from typing import Any

import numpy as np

from cellserve.service.client.tensors import Array, as_wire
from cellserve.service.errors import InvalidInput

Input = Array | Sequence[Any]


class Form(Enum):
    """How the sequences were passed, and so how the answers go back."""

    ONE = "one"
    LIST = "list"
    BATCH = "batch"


@dataclass(frozen=True, slots=True)
class Rows:
    """The sequences of one call, each at its own length."""

    form: Form
    steps: int  # of the batch as passed, padding included; of the longest row otherwise
    inputs: list[Array]  # of [T, F] float32, or ids [T] int32/int64
    more_inputs: list[Array | list[Array]]  # vectors [rows, width], or of each row a sequence [T, F] or ids [T]
    masks: list[Array] | None  # of [T] bool
    state: dict[str, Array]  # of [rows, units]

    @classmethod
    def of(
        cls,
        x: Input,
        *,
        lengths: Sequence[int] | Array | None = None,
        mask: Input | None = None,
        initial_state: Mapping[str, Array] | None = None,
        more_inputs: Sequence[Input] = (),
        more_lengths: Sequence[Sequence[int] | Array | None] = (),
    ) -> Rows:
        """Raises InvalidInput, which names the argument and what was expected of it."""
        form, padded = _form(x)
        if lengths is not None and form is not Form.BATCH:
            raise InvalidInput("lengths belongs to a padded batch; the arrays given have lengths of their own", field="lengths")
        if form is Form.BATCH:
            cuts = _cuts("lengths", lengths, len(padded), padded[0].shape[0])
            inputs = [as_wire(row[:cut]) for row, cut in zip(padded, cuts, strict=True)]
        else:
            inputs = [as_wire(row) for row in padded]
        steps = max(len(row) for row in padded)
        if len(more_lengths) > len(more_inputs):
            raise InvalidInput(
                f"there are more_lengths for {len(more_lengths)} inputs, and {len(more_inputs)} more_inputs", field="more_lengths"
            )
        given = zip_longest(more_inputs, more_lengths)
        return cls(
            form=form,
            steps=steps,
            inputs=_alike(inputs),
            more_inputs=[_further(i, array, own, form, inputs, steps) for i, (array, own) in enumerate(given)],
            masks=None if mask is None else _masks(mask, form, padded, inputs),
            state={name: _state(name, array, len(inputs), form) for name, array in (initial_state or {}).items()},
        )

    @property
    def lengths(self) -> list[int]:
        return [len(row) for row in self.inputs]

    @property
    def timesteps(self) -> list[int]:
        """Of each row, over all its inputs."""
        return [sum(map(len, row)) for row in zip(self.inputs, *self._sequences, strict=True)]

    @property
    def input_bytes(self) -> list[int]:
        """Of each row, over all its sequences."""
        return [sum(array.nbytes for array in row) for row in zip(self.inputs, *self._sequences, strict=True)]

    @property
    def _sequences(self) -> list[list[Array]]:
        return [each for each in self.more_inputs if isinstance(each, list)]

    def __len__(self) -> int:
        return len(self.inputs)


def _form(x: Input) -> tuple[Form, list[Array]]:
    if not isinstance(x, np.ndarray):
        rows = [np.asarray(row) for row in x]
        for index, row in enumerate(rows):
            _check_sequence(row, f"inputs[{index}]")
        form = Form.LIST
    elif x.ndim == _sequence_rank(x):
        _check_sequence(x, "inputs")
        form, rows = Form.ONE, [x]
    elif x.ndim == _sequence_rank(x) + 1 or (x.ndim == 3 and x.dtype.kind in "iu"):
        form, rows = Form.BATCH, list(x)
    else:
        raise InvalidInput(
            f"an array of shape {list(x.shape)} and dtype {x.dtype} is neither one sequence, [time, features] or integer ids "
            "[time], nor a batch of them, [batch, time, features] or integer ids [batch, time]",
            field="inputs",
        )
    if not rows:
        raise InvalidInput("there is no sequence in inputs; at least one was expected", field="inputs")
    return form, [_features_as_float(row) for row in rows]


def _sequence_rank(array: Array) -> int:
    """Dimensions of one sequence of this dtype: [T] of ids, [T, F] of anything else."""
    return 1 if array.dtype.kind in "iu" else 2


def _check_sequence(row: Array, name: str) -> None:
    ranks = (1, 2) if row.dtype.kind in "iu" else (2,)
    if row.dtype.kind not in "iufb" or row.ndim not in ranks:
        raise InvalidInput(
            f"{name} has shape {list(row.shape)} and dtype {row.dtype}; one sequence is [time, features], or integer ids [time]",
            field="inputs",
        )


def _features_as_float(row: Array) -> Array:
    """Integers and booleans are ids only in one dimension."""
    return row if row.dtype.kind == "f" or row.ndim == 1 else row.astype(np.float32)


def _alike(inputs: list[Array], name: str = "inputs") -> list[Array]:
    """Rows of one dtype and width, which one tensor can hold."""
    widths = {row.shape[1:] for row in inputs}
    if len(widths) > 1:
        found = ", ".join(str(list(width)) for width in sorted(widths))
        raise InvalidInput(f"the sequences of one call differ in their feature shape: {found}", field=name)
    dtypes = {row.dtype for row in inputs}
    if len(dtypes) == 1:
        return inputs
    return [as_wire(row.astype(np.int64)) for row in inputs]


def _further(
    number: int, x: Input, lengths: Sequence[int] | Array | None, form: Form, inputs: Sequence[Array], steps: int
) -> Array | list[Array]:
    """One of more_inputs. inputs: of the first, cut, out of `steps`: what is padded alike has their lengths too."""
    name = f"more_inputs[{number}]"
    padded = form is not Form.ONE and isinstance(x, np.ndarray) and x.ndim > 0
    listed = x if padded or not isinstance(x, np.ndarray) else [x]
    rows = _sequences([np.asarray(x)] if form is Form.ONE else [np.asarray(row) for row in listed])
    if rows is None:
        if lengths is not None:
            raise InvalidInput(f"{name} is of vectors, which have no lengths", field=f"more_lengths[{number}]")
        return _by_row(name, np.asarray(x), len(inputs), form)
    if len(rows) != len(inputs):
        raise InvalidInput(f"{name} has {len(rows)} sequences; one for each of the {len(inputs)} rows was expected", field=name)
    if not padded and lengths is not None:
        raise InvalidInput(
            "more_lengths belongs to padded batches; the arrays given have lengths of their own", field=f"more_lengths[{number}]"
        )
    if padded:
        alike = lengths is None and form is Form.BATCH and len(rows[0]) == steps
        own = [len(row) for row in inputs] if alike else lengths
        cuts = _cuts(f"more_lengths[{number}]", own, len(rows), len(rows[0]))
        rows = [row[:cut] for row, cut in zip(rows, cuts, strict=True)]
    return _alike([as_wire(row) for row in rows], name)


def _sequences(rows: Sequence[Array]) -> list[Array] | None:
    """None where they are vectors, or nothing."""
    ranks = {row.ndim - _sequence_rank(row) for row in rows}
    if ranks == {0} or (ranks == {1} and all(row.dtype.kind in "iu" for row in rows)):
        return [_features_as_float(row) for row in rows]
    return None


def _cuts(name: str, lengths: Sequence[int] | Array | None, rows: int, steps: int) -> list[int]:
    if lengths is None:
        return [steps] * rows
    given = np.asarray(lengths)
    if given.shape != (rows,) or given.dtype.kind not in "iu":
        raise InvalidInput(
            f"{name} has shape {list(given.shape)} and dtype {given.dtype}; {rows} integers were expected, one per row",
            field=name,
        )
    wrong = np.flatnonzero((given < 0) | (given > steps))
    if wrong.size:
        raise InvalidInput(f"{name}[{wrong[0]}] is {given[wrong[0]]}; from 0 to {steps} was expected", field=name)
    return [int(length) for length in given]


def _masks(mask: Input, form: Form, padded: list[Array], inputs: list[Array]) -> list[Array]:
    masks = [np.asarray(row) for row in ([mask] if form is Form.ONE else mask)]
    if len(masks) != len(inputs):
        raise InvalidInput(f"mask has {len(masks)} rows for {len(inputs)} sequences", field="mask")
    for index, (row, full) in enumerate(zip(masks, padded, strict=True)):
        if row.shape != full.shape[:1] or row.dtype.kind not in "biu":
            raise InvalidInput(
                f"the mask of row {index} has shape {list(row.shape)} and dtype {row.dtype}; "
                f"one boolean for each of its {len(full)} steps was expected",
                field="mask",
            )
    return [as_wire(row[: len(cut)] != 0) for row, cut in zip(masks, inputs, strict=True)]


def _state(name: str, array: Array, rows: int, form: Form) -> Array:
    return _by_row(f"initial_state[{name!r}]", np.asarray(array, dtype=np.float32), rows, form)


def _by_row(name: str, array: Array, rows: int, form: Form) -> Array:
    values = np.asarray(array)
    if form is Form.ONE and values.ndim == 1:
        values = values[None]
    if values.ndim == 0 or len(values) != rows:
        raise InvalidInput(
            f"{name} has shape {list(values.shape)}; its first dimension must count the {rows} sequences", field=name
        )
    return as_wire(values)
