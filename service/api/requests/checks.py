"""What values a model takes, checked with whole-array operations before anything is queued. Pure; knows no protocol.

Every check raises InvalidInput with what was wrong, where, and what was expected. `valid` is [rows, steps] bool: the steps that
count. Elsewhere anything may stand, but what is not finite or not an id is replaced there, so that it can reach no arithmetic.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellserve.service.api.requests.row_inputs import Limits
from cellserve.service.api.requests.signature import InputSignature, Signature
from cellserve.service.api.requests.tensors import Array
from cellserve.service.errors import InvalidInput


def require_rank_and_width(given: InputSignature, array: Array, field: str) -> None:
    """As the signature says, whatever the batch and the time."""
    if array.ndim != given.rank or (given.width is not None and array.shape[-1] != given.width):
        raise InvalidInput(f"{given.name!r} has shape {list(array.shape)}, expected {given.words}", field=field)


def require_shape(given: InputSignature, array: Array, field: str, expected: tuple[int | None, ...], note: str = "") -> None:
    """note: what the error message adds to the shape expected."""
    if array.shape != expected:
        raise InvalidInput(f"{given.name!r} has shape {list(array.shape)}, expected {list(expected)}{note}", field=field)


def require_mask(signature: Signature, mask: Array, expected: tuple[int, ...], note: str, field: str) -> None:
    """note: what the error message adds to the shape expected."""
    if not signature.maskable:
        raise InvalidInput("this model is a graph that is called as it is, which knows no masks; send lengths", field=field)
    if signature.inputs[0].kind == "vector":
        raise InvalidInput(f"a mask is that of {signature.inputs[0].name!r}, which is a vector in this model", field=field)
    if mask.shape != expected:
        raise InvalidInput(f"'mask' has shape {list(mask.shape)}, expected {list(expected)}, {note}", field=field)


def require_row_count(rows: int, limits: Limits, field: str) -> None:
    if rows == 0:
        raise InvalidInput("the batch is empty; send at least one row", field=field)
    if rows > limits.rows:
        raise InvalidInput(f"the batch has {rows} rows; this server takes at most {limits.rows} in one request", field=field)


def require_step_count(longest: int, given: InputSignature, limits: Limits, field: str) -> None:
    if longest == 0 and given.fewest_steps > 0:
        raise InvalidInput("the sequences have no time steps; each needs at least one", field=field)
    if longest > limits.steps:
        raise InvalidInput(f"a row has {longest} time steps; this server takes at most {limits.steps}", field=field)


def require_lengths(lengths: NDArray[np.int64], longest: int | None, given: InputSignature, field: str) -> None:
    """lengths: [rows], each up to `longest` (None: no upper end), and as many as `given` must have."""
    low, high = int(lengths.min()), int(lengths.max())
    least = min(1, given.fewest_steps)
    if low < least or (longest is not None and high > longest):
        row = int(np.argmax((lengths < least) | (lengths > (high if longest is None else longest))))
        upper = "or more" if longest is None else f"to {longest}, the time dimension of {given.name!r}"
        raise InvalidInput(f"row {row} has length {int(lengths[row])}; a length is {least} {upper}", field=field)
    if low < given.fewest_steps:
        row = int(np.argmin(lengths))
        raise InvalidInput(
            f"row {row} has {low} time steps, but the windows of this model's layers need at least {given.fewest_steps}",
            field=field,
        )
    if given.multiple_of > 1 and (lengths % given.multiple_of).any():
        row = int(np.argmax(lengths % given.multiple_of != 0))
        raise InvalidInput(
            f"row {row} has {int(lengths[row])} time steps; this model takes multiples of {given.multiple_of}", field=field
        )
    steps = given.time_steps
    if steps is not None and (low != steps or high != steps):
        row = int(np.argmax(lengths != steps))
        if given.kind == "vector":
            raise InvalidInput(
                f"row {row} has {int(lengths[row])} time steps, but this model takes vectors alone, which count as one step "
                f"each: every length is 1 (in the Python client, an array [rows, 1, {given.width}])",
                field=field,
            )
        raise InvalidInput(
            f"row {row} has {int(lengths[row])} time steps, but a layer of this model needs exactly {steps}", field=field
        )


def finite(name: str, values: Array, valid: Array | None, field: str) -> Array:
    """`values` [rows, steps, width], [rows, width] or [steps, width] without NaN and infinities. `valid` has no last axis."""
    checked = np.isfinite(values)
    if np.logical_and.reduce(checked, axis=None):  # twice as fast as checked.all() where the array is small
        return values
    bad = ~checked
    counted = bad if valid is None else bad & valid[..., np.newaxis]
    if counted.any():
        place = np.unravel_index(int(np.argmax(counted)), counted.shape)
        raise InvalidInput(
            f"{name!r} holds {values[place]} at {[int(index) for index in place]}; "
            "every value that counts must be finite, in FP32",
            field=field,
        )
    return np.where(bad, np.zeros((), values.dtype), values)


def ids(given: InputSignature, values: Array, valid: Array | None, field: str) -> NDArray[np.int64]:
    """`values` [rows, steps] (or [steps]), each perhaps several, as int64, each 0..vocabulary-1."""
    vocabulary = given.vocabulary
    if valid is not None and values.ndim > valid.ndim:
        valid = np.broadcast_to(valid[..., np.newaxis], values.shape)
    if values.dtype.kind == "f":
        values = _whole(given, values, valid, field)
    numbers = values.astype(np.int64, copy=False)
    if vocabulary is None or not numbers.size or (numbers.min() >= 0 and numbers.max() < vocabulary):
        return numbers
    bad = (numbers < 0) | (numbers >= vocabulary)
    counted = bad if valid is None else bad & valid
    if counted.any():
        place = np.unravel_index(int(np.argmax(counted)), counted.shape)
        raise InvalidInput(
            f"{given.name!r} holds the id {numbers[place]} at {[int(index) for index in place]}; "
            f"this model knows the ids 0 to {vocabulary - 1}",
            field=field,
        )
    return np.where(bad, np.int64(0), numbers)


def _whole(given: InputSignature, values: Array, valid: Array | None, field: str) -> NDArray[np.int64]:
    """Of whole numbers in floating point; what counts nowhere becomes -1, which is no id."""
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(values) | (values != np.floor(values))
        whole: NDArray[np.int64] = np.where(bad, -1, np.clip(values, -1, 2**53)).astype(np.int64)
    counted = bad if valid is None else bad & valid
    if counted.any():
        place = np.unravel_index(int(np.argmax(counted)), counted.shape)
        raise InvalidInput(
            f"{given.name!r} holds {values[place]} at {[int(index) for index in place]} where an id, a whole number, is expected",
            field=field,
        )
    return whole


def states(signature: Signature, given: dict[str, tuple[str, Array]], rows: int) -> NDArray[np.float32] | None:
    """Initial states side by side, [rows, state width], as sequences begin where they are not given; None if there are none.

    given: by key ("0.h"), the field's path and the array, FP32.
    """
    if not given:
        return None
    joined = np.zeros((rows, signature.state_width), np.float32)
    if signature.start is not None:
        joined[:] = signature.start
    for key, (field, array) in given.items():
        columns = signature.states[key]
        if array.shape != (rows, columns.width):
            raise InvalidInput(
                f"state {key!r} has shape {list(array.shape)}, expected [{rows}, {columns.width}] "
                f"(rows, units of layer {columns.layer_name!r})",
                field=field,
            )
        joined[:, columns.start : columns.start + columns.width] = finite(f"state {key}", array, None, field)
    return joined
