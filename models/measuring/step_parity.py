"""The gate of publishing for step models: the engine's calls must give what onnxruntime, called by hand, gives feed by feed.

Rows together and alone, in one feed and in several, and from the states that the feed before left. Knows no repository and no
service.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.state_layout import StateLayout, as_columns, from_columns
from cellserve.models.description.step_counts import steps_of
from cellserve.models.description.step_model import StepInput, StepModel
from cellserve.models.errors import InvalidWeights
from cellserve.models.measuring.golden_pair import SEED, GoldenPair
from cellserve.models.measuring.parity import ParityReport
from cellserve.models.measuring.parity_bounds import (
    BASE_BOUND,
    RELATIVE_PART,
    ROUNDING_MARGIN,
    ParityFailure,
    largest_difference,
)
from cellserve.models.steps.by_hand import ByHand
from cellserve.models.steps.graph_file import GraphFile, Session, short
from cellserve.models.steps.network import LABEL, StepNetwork

Array = npt.NDArray[Any]
Columns = npt.NDArray[np.float32]
States = Sequence[Sequence[Array]]
Answers = tuple[list[list[Array]], list[list[Array]]]
FRAMES: Final = (7, 4, 1)  # of the rows of the golden pair
FEEDS: Final = 3  # one after the other, in the gate
NUDGE: Final = 2.0**-21  # relative: what a sum over batch mates in another order may lose
MOST_NUMBERS: Final = 1 << 16  # of an input in the golden pair
IDS: Final = 8  # drawn where nothing says how many there are


def check_steps(model: StepModel, graph: GraphFile, others: Sequence[str] = ()) -> ParityReport:
    """Raises ParityFailure, and InvalidWeights: onnxruntime does not load the graph, or does not run it."""
    session = graph.session()
    feeds = [golden_rows(model, SEED + number) for number in range(FEEDS)]
    truth = _by_hand(model, session, feeds)
    moved = _by_hand(model, session, [[_nudged(model, row) for row in rows] for rows in feeds])
    bound = BASE_BOUND * max(1.0, ROUNDING_MARGIN * _largest(truth, moved) / BASE_BOUND)
    network = StepNetwork(model, graph, others)
    first = _golden(model, feeds[0], *truth[0])
    largest = verify_steps(network, first, bound, LABEL)
    states = network.state_layout.first_rows(len(FRAMES))
    for number, (rows, (answers, wanted)) in enumerate(zip(feeds, truth, strict=True)):
        made, states = _advanced(network, rows, states)
        golden = _golden(model, rows, answers, wanted)
        largest = max(largest, _difference(f"feed {number}, rows together", network, golden, made, states, bound))
    refused = {label: refusal for label, refusal in network.implementations.items() if refusal is not None}
    return ParityReport(first, bound, {LABEL: largest}, refused)


def verify_steps(network: StepNetwork, golden: GoldenPair, bound: float, implementation: str) -> float:
    """The largest difference from a golden pair, rows together and alone, in one feed and, where frames are, in several."""
    if implementation != LABEL:
        raise ParityFailure(f"there is no implementation {implementation!r} of a step model")
    rows, layout = _rows(network.spec, golden), network.state_layout
    together = _advanced(network, rows, layout.first_rows(len(rows)))
    largest = _difference("rows together", network, golden, *together, bound)
    alone = [_advanced(network, [row], layout.first_rows(1)) for row in rows]
    joined = [made[0] for made, _ in alone], np.concatenate([state for _, state in alone])
    largest = max(largest, _difference("rows alone", network, golden, *joined, bound))
    if not network.spec.whole_feeds:
        cut = [_in_two(network, row) for row in rows]
        joined = [made for made, _ in cut], np.concatenate([state for _, state in cut])
        largest = max(largest, _difference("rows in two feeds", network, golden, *joined, bound))
    return largest


def golden_rows(model: StepModel, seed: int = SEED) -> list[list[Array]]:
    """Of each row its inputs, always the same: features N(0, 1/4), ids that there are, vectors as the graph was tried with."""
    random = np.random.default_rng(seed)
    numbers = max(entry.size for entry in model.inputs)
    counts = [max(1, min(steps, MOST_NUMBERS // numbers)) for steps in FRAMES]
    if model.whole_feeds:
        counts = [model.tried_steps[place % len(model.tried_steps)] for place in range(len(FRAMES))]
    return [[drawn(entry, steps, random) for entry in model.inputs] for steps in counts]


def drawn(entry: StepInput, steps: int, random: np.random.Generator) -> Array:
    if entry.kind == "vector":
        return np.full(entry.size, entry.tried_with, np.float32)
    if entry.kind == "ids":
        return random.integers(0, entry.vocabulary or IDS, steps)
    if np.dtype(entry.dtype).kind in "iu":
        return random.integers(0, entry.vocabulary or IDS, (steps, entry.size)).astype(np.float32)
    return (0.5 * random.standard_normal((steps, entry.size))).astype(np.float32)


def _by_hand(model: StepModel, session: Session, feeds: Sequence[Sequence[Sequence[Array]]]) -> list[Answers]:
    """Of each feed: what each row answers, and the states behind it."""
    rows = [ByHand(model, session) for _ in feeds[0]]
    told: list[Answers] = []
    for fed in feeds:
        try:
            answers = [row.feed(inputs) for row, inputs in zip(rows, fed, strict=True)]
        except MemoryError:
            raise
        except Exception as error:  # onnxruntime's own kinds, which share no base
            raise InvalidWeights(f"onnxruntime does not run the graph: {short(error)}") from error
        told.append((answers, [row.wire_states() for row in rows]))
    return told


def _largest(truth: Sequence[Answers], moved: Sequence[Answers]) -> float:
    """Over (1 + 5 |value|). Raises ParityFailure: numbers that are not finite."""
    largest = 0.0
    for (answers, states), (others, other_states) in zip(truth, moved, strict=True):
        for row, other in zip([*answers, *states], [*others, *other_states], strict=True):
            for value, near in zip(row, other, strict=True):
                exact = np.asarray(value, np.float64)
                if exact.size == 0:
                    continue
                if not np.isfinite(exact).all():
                    raise ParityFailure("the graph answers numbers that are not finite on a small random input")
                largest = max(largest, float((np.abs(exact - near) / (1 + RELATIVE_PART * np.abs(exact))).max()))
    return largest


def _golden(model: StepModel, rows: Sequence[Sequence[Array]], answers: Sequence[Sequence[Array]], states: States) -> GoldenPair:
    fed = [[1 if entry.kind == "vector" else len(array) for entry, array in zip(model.inputs, row)] for row in rows]
    keys = [columns.key for columns in StateLayout.of(model).columns]
    return GoldenPair(
        tuple(np.stack(column) if entry.kind == "vector" else _padded(column) for entry, column in zip(model.inputs, zip(*rows))),
        tuple(counts[0] if len(counts) == 1 else tuple(counts) for counts in fed),
        tuple(
            _padded(column) if model.shapes()[output.name].sequence else np.stack(column)
            for output, column in zip(model.answers, zip(*answers))
        ),
        {key: np.concatenate([as_columns(state[np.newaxis]) for state in column]) for key, column in zip(keys, zip(*states))},
    )


def _padded(column: Sequence[Array]) -> Array:
    made = np.zeros((len(column), max(map(len, column)), *column[0].shape[1:]), column[0].dtype)
    for row, part in zip(made, column):
        row[: len(part)] = part
    return made


def _rows(model: StepModel, golden: GoldenPair) -> list[list[Array]]:
    return [
        [
            array[row] if entry.kind == "vector" else array[row, : steps_of(fed, number)]
            for number, (entry, array) in enumerate(zip(model.inputs, golden.inputs, strict=True))
        ]
        for row, fed in enumerate(golden.lengths)
    ]


def _advanced(network: StepNetwork, rows: Sequence[Sequence[Array]], states: Columns) -> tuple[list[list[Array]], Columns]:
    try:
        return network.advance(rows, states)
    except MemoryError:
        raise
    except Exception as error:  # onnxruntime's own kinds, which share no base
        raise ParityFailure(f"onnxruntime does not run rows that it ran by hand: {short(error)}") from error


def _in_two(network: StepNetwork, row: Sequence[Array]) -> tuple[list[Array], Columns]:
    """Its first frame, then the others."""
    model, states = network.spec, network.state_layout.first_rows(1)
    parts = []
    for piece in (slice(0, 1), slice(1, None)):
        fed = [array if entry.kind == "vector" else array[piece] for entry, array in zip(model.inputs, row)]
        if len(fed[model.timed]):
            made, states = _advanced(network, [fed], states)
            parts.append(made[0])
    return [np.concatenate(pieces) for pieces in zip(*parts)], states


def _difference(
    manner: str, network: StepNetwork, golden: GoldenPair, made: Sequence[Sequence[Array]], states: Columns, bound: float
) -> float:
    """Raises ParityFailure."""
    largest, where = 0.0, f"implementation {LABEL!r}, {manner}"
    for number, name in enumerate(network.spec.outputs):
        shape, column = network.shapes[name], [row[number] for row in made]
        counts = [shape.step_count.steps(fed) for fed in golden.lengths]
        found = _padded(column) if shape.sequence else np.stack(column)
        if found.shape != golden.outputs[number].shape:
            raise ParityFailure(f"{where}: output {name!r} is {list(found.shape)}, not {list(golden.outputs[number].shape)}")
        lengths = counts if shape.sequence else None
        largest = max(largest, largest_difference(f"{where}: output {name!r}", golden.outputs[number], found, lengths, bound))
    dtypes = [np.dtype(state.dtype) for state in network.spec.states]
    for number, columns in enumerate(network.state_layout.columns):
        dtype = dtypes[number] if number < len(dtypes) else np.dtype(np.float32)
        found = from_columns(states[:, columns.start : columns.start + columns.width], dtype)
        expected = from_columns(golden.state[columns.key], dtype)
        largest = max(largest, largest_difference(f"{where}: state {columns.key!r}", expected, found, None, bound))
    return largest


def _nudged(model: StepModel, row: Sequence[Array]) -> list[Array]:
    """The same to the last places; what decides as a whole (a sample rate) is left alone."""
    moves = [entry.kind == "features" and np.dtype(entry.dtype).kind == "f" for entry in model.inputs]
    return [array * np.float32(1 + NUDGE) if move else array for array, move in zip(row, moves)]
