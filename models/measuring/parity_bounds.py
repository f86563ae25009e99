"""How far two computations of one network may lie apart, and where they first lie farther.

The bound is 2e-6 + 1e-5 |value| for moderate weights. Large weights amplify the rounding of float32 itself, so the oracle is
also run in float32 and the bound is raised to four times the error seen there. What multiplies in bfloat16 has a bound of its
own, four times the error that rounding to it makes in the oracle. Knows no implementation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models import reference
from cellserve.models.errors import ModelError
from cellserve.models.implementations.implementation import FLOAT32, Precision
from cellserve.models.measuring.golden_pair import GoldenPair
from cellserve.models.spec import ModelSpec
from cellserve.models.weights import Weights

Array = npt.NDArray[Any]

BASE_BOUND: Final = 2e-6
RELATIVE_PART: Final = 5.0  # 1e-5 |value| beside 2e-6
ROUNDING_MARGIN: Final = 4.0
NUDGED_RUNS: Final = 2
NUDGE: Final = 2.0**-22  # relative: two units in the last place of float32
BFLOAT16_NUDGE: Final = 2.0**-8  # relative: what rounding both factors of a product to 8 bits may lose


class ParityFailure(ModelError):
    """An implementation does not give the oracle's number; the message says which, where, and both values."""


def tolerance(expected: Array, bound: float) -> Array:
    """How far a value may lie from the expected one: bound (1 + 5 |expected|)."""
    allowed: Array = bound * (1.0 + RELATIVE_PART * np.abs(expected))
    return allowed


def rounding_scale(spec: ModelSpec, weights: Weights, golden: GoldenPair) -> float:
    """At least 1. Raises ParityFailure where float32 cannot hold the network's values at all.

    The oracle sums vector by vector, which rounds less than a matrix product over many rows. Further runs with weights moved by
    two units in the last place stand for that: it is what a sum of a few hundred products loses in the worst order.
    """
    errors = [_error(spec, weights.arrays, golden, np.float32)]
    errors += [_error(spec, nudged, golden, np.float32) for nudged in _nudged(weights.arrays, NUDGE)]
    return max(1.0, ROUNDING_MARGIN * max(errors))


def bfloat16_bound(spec: ModelSpec, weights: Weights, golden: GoldenPair, bound: float) -> float | None:
    """As `tolerance` takes it; `bound`: of float32, which is the least. None: no product of a recurrent layer to round, or values
    that grow beyond float32 when it is.

    Further runs of the oracle, in which the weights of those products are moved up or down by as much as both factors lose.
    """
    recurrent = {layer.name for layer in spec.recurrent_layers}
    rounded = {name: array for name, array in weights.arrays.items() if array.ndim == 2 and name.rpartition(".")[0] in recurrent}
    if not rounded:
        return None
    try:
        errors = [_error(spec, {**weights.arrays, **nudged}, golden, np.float64) for nudged in _nudged(rounded, BFLOAT16_NUDGE)]
    except ParityFailure:
        return None
    return max(bound, BASE_BOUND * ROUNDING_MARGIN * max(errors))


def bound_in(precision: Precision, golden: GoldenPair, bound: float) -> float | None:
    """How far what computes in it may lie from the pair; `bound`: in float32. None: nobody has measured."""
    return bound if precision == FLOAT32 else golden.bfloat16_bound


def no_bound(implementation: str) -> str:
    return f"how far implementation {implementation!r} lies from float32 was not measured when this version was published"


def _nudged(arrays: Mapping[str, Array], nudge: float) -> Iterator[Mapping[str, Array]]:
    random = np.random.default_rng(0)
    for _ in range(NUDGED_RUNS):
        yield {name: array * (1 + nudge * random.choice((-1.0, 1.0), array.shape)) for name, array in arrays.items()}


def _error(spec: ModelSpec, arrays: Mapping[str, Array], golden: GoldenPair, dtype: type[np.floating[Any]]) -> float:
    """The largest of the oracle with these arrays in this precision, over the base tolerance."""
    with np.errstate(over="ignore", invalid="ignore"):
        outputs, state = reference.run(spec, arrays, golden.inputs, golden.lengths, dtype=dtype)
    pairs = [*zip(golden.outputs, outputs, strict=True), *((golden.state[key], state[key]) for key in golden.state)]
    if not all(np.isfinite(rounded[~np.isnan(exact)]).all() for exact, rounded in pairs):
        raise ParityFailure("the network's values grow beyond float32 on a small random input; check the weights")
    return max(float(np.nanmax(np.abs(exact - rounded) / tolerance(exact, BASE_BOUND), initial=0.0)) for exact, rounded in pairs)


def largest_difference(
    where: str,
    expected: Array,  # [B, T, …] or [B, …]
    found: Array,
    lengths: Sequence[int] | None,  # of the rows, for sequences
    bound: float,
) -> float:
    largest = 0.0
    for row in range(len(expected)):
        wanted, got = (array[row] if lengths is None else array[row, : lengths[row]] for array in (expected, found))
        both_undefined = np.isnan(wanted) & np.isnan(got)  # the mean of no valid steps
        difference = np.where(both_undefined, 0.0, np.abs(wanted.astype(np.float64) - got))
        wrong = ~(both_undefined | (difference <= tolerance(wanted, bound)))
        if wrong.any():
            place = tuple(int(axis) for axis in np.argwhere(wrong)[0])
            step = f"step {place[0]}, " if lengths is not None else ""
            raise ParityFailure(
                f"{where}: row {row}, {step}place {list(place)} is {float(got[place])!r}, the oracle says "
                f"{float(wanted[place])!r} (allowed difference {float(tolerance(wanted, bound)[place]):.1e})"
            )
        largest = max(largest, float(difference.max(initial=0.0)))
    return largest
