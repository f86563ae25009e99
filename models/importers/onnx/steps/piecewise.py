"""A graph with no states of its own as one that has them, if it answers the same fed piece by piece: seen by running both.

Its states are opened (opening.py), and what the file answers on whole rows is held against the opened graph, fed in pieces of
several lengths. Knows no axes' names and no layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from cellserve.models.errors import ImportRefused, InvalidWeights
from cellserve.models.importers.description import Description
from cellserve.models.importers.onnx.steps.alone import ROWS, near
from cellserve.models.importers.onnx.steps.lengths import Lengths, lengths
from cellserve.models.importers.onnx.steps.opening import Opened, Probes, Seen, opened, probed
from cellserve.models.importers.onnx.steps.reading import Declared, StepFile, step_file
from cellserve.models.importers.onnx.steps.roles import Roles, roles
from cellserve.models.importers.onnx.steps.trial import NotRun, Trial
from cellserve.models.steps.graph_file import GraphFile

Array = npt.NDArray[Any]
PIECES: Final = ((3, 1, 2, 1), (1, 1, 7))
"""Of feeds, in multiples of the fewest steps that a call takes."""


def with_states(file: StepFile, description: Description) -> tuple[StepFile, Description, str] | None:
    """The opened graph, the description with its states, and what to tell of it. None: it has no recurrent node.

    Raises ImportRefused: a row's answer needs what comes later, or the graph does not run.
    """
    source = str(file.path)
    model = ModelProto.FromString(file.graph.content)
    probes = probed(model)
    if probes is None:
        return None
    plain = description.model_copy(update={"initial": None, "frames": None, "context": None})
    found = roles(file, plain, {})
    if not found.timed or found.asked:
        raise ImportRefused(source, "its time is not free, or requests say numbers of it: no state of it can be opened")
    trial = _trial(file, found)
    frames = lengths(lambda steps: trial.runs(1, steps))
    if frames is None or len(frames.tried) == 1:
        raise ImportRefused(source, "it runs at no two numbers of steps: nothing tells that feeds of it go on")
    made = opened(model, _seen(file, probes, found, frames), ROWS, source)
    after = step_file(made.model, file.path)
    steps = _require_same(file, found, after, made, plain.model_copy(update={"states": made.states}))
    said = description.model_copy(update={"states": made.states, "initial": {**made.initial, **(description.initial or {})}})
    kept = ", ".join(made.states)
    remark = (
        f"The graph begins its states anew in every call; they are opened ({kept}), so that it can be fed piece by piece. So fed "
        f"it answers as the file does on whole rows, which was seen at {' and '.join(map(str, steps))} steps."
    )
    return after, said, remark


def _trial(file: StepFile, found: Roles, seed: int = 0) -> Trial:
    return Trial(file, found.axes, found.bound, seed)


def _seen(file: StepFile, probes: Probes, found: Roles, frames: Lengths) -> dict[str, Seen]:
    shown = [Declared(name, "float32", None) for name in probes.tensors]
    try:
        session = GraphFile(probes.model.SerializeToString()).session()
        probing = replace(file, session=session, outputs=tuple(shown))
        few, more = frames.tried[0], frames.tried[1]
        short, long = (_trial(probing, found, seed) for seed in (1, 2))
        calls = short.run(short.inputs(1, few)), long.run(long.inputs(1, more))
    except (InvalidWeights, NotRun) as error:
        raise ImportRefused(str(file.path), f"onnxruntime does not run it with more outputs: {error}") from error
    several = None
    if found.batched:
        try:
            several = short.run(short.inputs(ROWS, few))
        except NotRun:
            several = None
    return {
        name: Seen(calls[0][shown], calls[1][shown], None if several is None else several[shown])
        for shown, name in probes.tensors.items()
    }


def _require_same(file: StepFile, found: Roles, after: StepFile, made: Opened, said: Description) -> list[int]:
    """The numbers of steps at which it was seen."""
    source = str(file.path)
    whole, parts = _trial(file, found, seed=3), _trial(after, roles(after, said))
    unit = lengths(lambda steps: parts.runs(1, steps))
    if unit is None:
        raise ImportRefused(source, "onnxruntime does not run it with its states as inputs")
    size = unit.multiple * -(-unit.fewest // unit.multiple)
    counts = []
    for pieces in PIECES:
        cuts = np.cumsum([0, *(size * piece for piece in pieces)])
        total = int(cuts[-1])
        try:
            given = whole.inputs(1, total)
            expected = whole.run(given)
            fed = [_cut(given, found, start, stop) for start, stop in pairwise(cuts)]
            answers = _chained(parts, fed, made, after)
        except NotRun as error:
            raise ImportRefused(source, f"fed piece by piece onnxruntime does not run it: {error}") from error
        for name, array in expected.items():
            if not _same(array, [answer[name] for answer in answers]):
                raise ImportRefused(
                    source,
                    f"fed piece by piece it answers otherwise than on whole rows (its output {name!r}, at {total} steps): what "
                    "it keeps from step to step is more than its recurrent nodes and causal windows hold",
                )
        counts.append(total)
    return counts


def _chained(parts: Trial, fed: Sequence[Mapping[str, Array]], made: Opened, after: StepFile) -> list[dict[str, Array]]:
    declared = {entry.name: entry for entry in after.inputs if entry.name in made.states}
    states = {
        name: np.resize(np.array(made.initial.get(name, 0.0)), [dim if isinstance(dim, int) else 1 for dim in entry.dims or ()])
        for name, entry in declared.items()
    }
    states = {name: array.astype(declared[name].dtype) for name, array in states.items()}
    answers = []
    for piece in fed:
        answer = parts.run({**piece, **states})
        states = {name: answer[output] for name, output in made.states.items()}
        answers.append(answer)
    return answers


def _cut(given: Mapping[str, Array], found: Roles, start: int, stop: int) -> dict[str, Array]:
    cut = {}
    for name, array in given.items():
        axes = found.axes[name]
        place = (*(slice(None) for _ in range(axes.index("time"))), slice(start, stop)) if "time" in axes else ()
        cut[name] = np.ascontiguousarray(array[place])
    return cut


def _same(whole: Array, pieces: Sequence[Array]) -> bool:
    """Whether the pieces are the whole, one after the other, or the last of them is."""
    if near(whole, pieces[-1]):
        return True
    return any(near(whole, np.concatenate(pieces, axis)) for axis in range(whole.ndim) if _are_parts(pieces, whole, axis))


def _are_parts(pieces: Sequence[Array], whole: Array, axis: int) -> bool:
    if any(piece.ndim != whole.ndim for piece in pieces):
        return False
    others = {(*piece.shape[:axis], *piece.shape[axis + 1 :]) for piece in pieces}
    return others == {(*whole.shape[:axis], *whole.shape[axis + 1 :])}
