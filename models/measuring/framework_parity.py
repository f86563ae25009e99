"""The other half of the gate: the framework's own answers, held against the oracle and then asked of every implementation.

What the gate draws for itself compares the import with the import. Answers of the framework show what no such comparison can:
arrays in the wrong places, an order or a function taken for another. Knows no files and no service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models import reference
from cellserve.models.description.shapes import infer_shapes
from cellserve.models.measuring.framework_answers import AnswersDoNotFit, FrameworkAnswers, Reading
from cellserve.models.measuring.golden_pair import GoldenPair
from cellserve.models.measuring.parity import ParityReport, verify_each
from cellserve.models.measuring.parity_bounds import (
    BASE_BOUND,
    ParityFailure,
    bfloat16_bound,
    largest_difference,
    rounding_scale,
)
from cellserve.models.network import Network
from cellserve.models.spec import ModelSpec
from cellserve.models.weights import Weights

Array = npt.NDArray[Any]
KEPT_VALUES: Final = 1 << 18  # of the golden pair, a megabyte in float32; one row at least


@dataclass(frozen=True, slots=True)
class Agreement:
    """`report`: its golden pair is the framework's. `differences`: the oracle's largest from its answers, by who gave them."""

    report: ParityReport
    differences: Mapping[str, float]


def against_framework(
    report: ParityReport, spec: ModelSpec, weights: Weights, answers: Sequence[FrameworkAnswers], device: str = "cpu"
) -> Agreement:
    """`report`: what the gate found by itself; `answers`: at least one, the last of which is kept as the golden pair.

    Raises ParityFailure, AnswersDoNotFit.
    """
    differences, found, kept = {}, dict(report.differences), report
    network = Network(spec, weights, device)
    for one in answers:
        golden, bound, difference, how = _held(spec, weights, one)
        differences[f"{one.by}, {how}" if how else one.by] = difference
        verified = verify_each(network, golden, bound, found)
        found = {label: max(found[label], difference) for label, difference in verified.differences.items()}
        kept = replace(kept, golden=golden, bound=bound, refused={**kept.refused, **verified.refused})
    return Agreement(replace(kept, differences=found), differences)


def _held(spec: ModelSpec, weights: Weights, answers: FrameworkAnswers) -> tuple[GoldenPair, float, float, str]:
    """The first reading that holds. Raises ParityFailure or AnswersDoNotFit as the likeliest one does."""
    first: ParityFailure | AnswersDoNotFit | None = None
    for reading in answers.readings(spec):
        try:
            return *_compared(spec, weights, reading, answers.by), reading.how
        except (ParityFailure, AnswersDoNotFit) as failure:
            first = first or failure
    raise first or AnswersDoNotFit(f"{answers.by}: there is no way to read its arrays")


def _compared(spec: ModelSpec, weights: Weights, reading: Reading, by: str) -> tuple[GoldenPair, float, float]:
    """The golden pair of the framework's outputs with the oracle's states, its bound, and how far the two lie apart.

    All rows are compared with the oracle, which is slow; as many as are kept are what rounding is measured on.
    """
    outputs, state = reference.run(spec, weights.arrays, reading.inputs, reading.lengths)
    exact = _shortened(GoldenPair(reading.inputs, reading.lengths, outputs, state))
    shapes, bound, largest = infer_shapes(spec), BASE_BOUND * rounding_scale(spec, weights, exact), 0.0
    for index, (name, expected, found) in enumerate(zip(spec.outputs, outputs, reading.outputs, strict=True)):
        if found.shape != expected.shape:
            raise AnswersDoNotFit(
                f"{by}: y{index} is {list(found.shape)} where the import answers {list(expected.shape)}, {shapes[name]}; either "
                "these are not this model's answers, or the import has understood the file otherwise than it was meant"
            )
        lengths = [shapes[name].step_count.steps(length) for length in reading.lengths] if shapes[name].sequence else None
        where = f"the import does not give the framework's own answers: {by}, y{index} ({name!r})"
        largest = max(largest, largest_difference(where, expected, found, lengths, bound))
    rows = len(exact.lengths)
    kept = tuple(array[:rows].astype(np.float32) for array in reading.outputs)
    states = {key: array.astype(np.float32) for key, array in exact.state.items()}
    rounded = bfloat16_bound(spec, weights, exact, bound)
    return replace(exact, outputs=kept, state=states, bfloat16_bound=rounded), bound, largest


def _shortened(golden: GoldenPair) -> GoldenPair:
    """Only as many rows as are kept."""
    arrays = (*golden.inputs, *golden.outputs)
    rows = max(1, KEPT_VALUES // max(1, sum(array[0].size for array in arrays)))
    return GoldenPair(
        tuple(array[:rows] for array in golden.inputs),
        golden.lengths[:rows],
        tuple(array[:rows] for array in golden.outputs),
        {key: array[:rows] for key, array in golden.state.items()},
    )
