"""A graph as a draft of layers, under the first reading of its inputs that fits all of it. Runs no file and checks no answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy.typing as npt
from pydantic import ValidationError

from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.shapes import input_shape
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.onnx.carrying.carrier import Carrier, vocabularies
from cellserve.models.importers.onnx.draft import Draft
from cellserve.models.importers.onnx.file import OnnxFile, all_nodes, needed
from cellserve.models.importers.onnx.folding import Folding
from cellserve.models.importers.onnx.graph_inputs import GraphInput, Reading, readings, values
from cellserve.models.importers.onnx.layers.recurrent import OPERATORS as RECURRENT
from cellserve.models.importers.onnx.loops.masks import Steps
from cellserve.models.importers.onnx.loops.unrolled import is_unrolled
from cellserve.models.importers.onnx.operators import LOOP_HELP, LOOPS
from cellserve.models.importers.onnx.values import Flow, Given, NotTranslated, Value
from cellserve.models.importers.onnx.walk import Walk
from cellserve.models.spec import InputSpec, ModelSpec

Array = npt.NDArray[Any]
MOST_CARRIED_READINGS: Final = 24  # each runs what would be carried many times
NOT_RECURRENT: Final = (
    "it has no LSTM, GRU or RNN node: it is not recurrent, or the exporter unrolled its cells into single steps; export it with "
    "these nodes (of torch's nn.RNN the exporter with dynamo=False makes one), or import the model's own file"
)


@dataclass(frozen=True, slots=True)
class Translation:
    """`outputs`: of the graph, those that the network answers; `states`: those that are final states of its layers.

    `otherwise`: why it is no layers at any number of steps, where it is at one.
    """

    reading: Reading
    names: Mapping[str, str]
    draft: Draft
    outputs: Mapping[str, Flow]
    references: Sequence[str]
    states: Mapping[str, Flow]
    starts: Mapping[tuple[str, str], Given]
    otherwise: str | None = None


def translated(
    file: OnnxFile,
    inputs: Sequence[GraphInput],
    options: Mapping[str, Array],
    wanted: Sequence[str],
    advice: str,
    *,
    carry: bool,
    free: bool,
    one_row: bool,
) -> Translation:
    """Under the first reading that the whole graph agrees with. Raises ImportRefused as the reading that came farthest does."""
    _refuse_loose_ends(file, wanted, carry=carry)
    best: tuple[int, NotTranslated] | None = None
    otherwise: tuple[int, str] | None = None
    folding = Folding(file.opset)
    tried = Counter[bool]()
    for reading in readings(file, inputs):
        if free and reading.steps is not None:
            break
        tried[reading.steps is None] += 1
        if carry and (tried[reading.steps is None] > MOST_CARRIED_READINGS or not _may_be_carried(reading, inputs, file)):
            continue
        names = _names(inputs)
        draft = Draft(len(reading.trials), set(names.values()), one_row, shapes=_shapes(inputs, reading, names))
        walk = Walk(replace(file, reader=file.reader.afresh()), draft, values(inputs, reading, names, options), folding)
        if carry:
            walk.carrier = Carrier(walk.file, draft, vocabularies(file.graph), reading.steps, not _has_recurrent_nodes(file))
        try:
            done = _concluded(walk, reading, names, walk.run(wanted), wanted)
            return replace(done, otherwise=None if otherwise is None else otherwise[1])
        except NotTranslated as stopped:
            if reading.steps is None and (otherwise is None or walk.followed > otherwise[0]):
                otherwise = walk.followed, f"at {stopped.node}, {stopped.what}" if stopped.node else stopped.what
            if best is None or walk.followed > best[0]:
                best = walk.followed, stopped
    if best is None:
        raise ImportRefused(
            str(file.path), "none of its inputs is a sequence: features or ids of at most three axes, one of them time"
        )
    raise ImportRefused(str(file.path), f"{best[1].what}{_advised(best[1].what, advice)}", layer=best[1].node)


def _may_be_carried(reading: Reading, inputs: Sequence[GraphInput], file: OnnxFile) -> bool:
    """At a length that the file fixes, where it fixes one; cells that were unrolled, at no other."""
    if reading.steps is None:
        return _has_recurrent_nodes(file)
    return declared(reading, inputs) == {reading.steps}


def declared(reading: Reading, inputs: Sequence[GraphInput]) -> set[int | None]:
    """Numbers of steps of the graph's inputs; None: any."""
    return {entry.dims[layout.index("t")] for entry in inputs if "t" in (layout := reading.layouts[entry.name])}


def _has_recurrent_nodes(file: OnnxFile) -> bool:
    return any(node.op_type in RECURRENT or node.op_type in LOOPS for node in all_nodes(file.graph, str(file.path)))


def _refuse_loose_ends(file: OnnxFile, wanted: Sequence[str], *, carry: bool) -> None:
    """What no reading of the inputs could mend."""
    if not _has_recurrent_nodes(file) and not (carry and is_unrolled(file)):
        raise ImportRefused(str(file.path), NOT_RECURRENT)
    made = {*file.constants, *(entry.name for entry in file.graph.input)}
    for node in needed(file.graph, wanted):
        place = f"{node.name or node.output[0]} ({node.op_type})"
        if node.op_type == "Scan":
            raise ImportRefused(str(file.path), LOOP_HELP, layer=place)
        for name in node.input:
            if name and name not in made:
                raise ImportRefused(
                    str(file.path), f"it reads {name!r}, which no earlier node makes; the file is damaged", layer=place
                )
        made.update(node.output)
    for name in wanted:
        if name not in made:
            raise ImportRefused(str(file.path), f"nothing makes its output {name!r}; the file is damaged")


def _advised(what: str, advice: str) -> str:
    return "" if what.endswith((".", ")")) or ";" in what else advice


def _names(inputs: Sequence[GraphInput]) -> dict[str, str]:
    draft = Draft(1, set())
    return {entry.name: draft.name(entry.name) for entry in inputs if entry.role in ("features", "ids")}


def _concluded(
    walk: Walk, reading: Reading, names: Mapping[str, str], made: Sequence[Value], wanted: Sequence[str]
) -> Translation:
    flows: dict[str, Flow] = {}
    for name, value in zip(wanted, made):
        if not isinstance(value, Flow) or value.ids or isinstance(value, Steps):
            raise NotTranslated(f"its output {name!r} is not computed from its inputs")
        if value.shares or value.weights is not None:
            others = ", ".join(one for one in wanted if one != name)
            advice = f"; say in a --description which are served without it: `outputs: [{others}]`" if others else ""
            raise NotTranslated(
                f"its output {name!r} is a softmax over time; one is a layer where it weighs the steps of a row{advice}"
            )
        flows[name] = value
    if not any(isinstance(layer, RecurrentLayer) for layer in walk.draft.layers) and not (
        walk.carrier and is_unrolled(walk.file)
    ):
        raise NotTranslated(NOT_RECURRENT)
    answered = {name: flow for name, flow in flows.items() if not flow.is_state} or flows
    states = {name: flow for name, flow in flows.items() if name not in answered}
    outputs, references = {}, []
    for name, flow in answered.items():
        outputs[name] = walk.draft.lined_up(flow, name)
        references.append(walk.draft.reference(outputs[name], name))
    if any(reference in names.values() for reference in references):
        raise NotTranslated("one of its outputs is an input")
    walk.draft.keep_only_what_leads_to(*references, *(part.reference for flow in states.values() for part in flow.parts))
    walk.draft.heed_masks_where_said()
    if walk.carrier is not None:
        walk.draft.remarks += walk.carrier.remarks
    return Translation(reading, names, walk.draft, outputs, references, states, walk.starts)


def described(done: Translation, inputs: Sequence[GraphInput], source: str, *, examples: bool) -> ModelSpec:
    """`examples`: whether the sizes that the inputs declare are those of an example. Raises ImportRefused: no network."""
    try:
        return ModelSpec(
            inputs=tuple(
                _input(entry, done.reading, name, examples=examples) for entry in inputs if (name := done.names.get(entry.name))
            ),
            layers=tuple(done.draft.layers),
            outputs=tuple(done.references),
        )
    except ValidationError as error:
        raise ImportRefused(source, f"its layers do not fit together: {error.errors()[0]['msg']}") from error


def _shapes(inputs: Sequence[GraphInput], reading: Reading, names: Mapping[str, str]) -> dict[str, TensorShape]:
    return {name: input_shape(_input(entry, reading, name)) for entry in inputs if (name := names.get(entry.name))}


def _input(entry: GraphInput, reading: Reading, name: str, *, examples: bool = False) -> InputSpec:
    layout = reading.layouts[entry.name]
    steps = reading.steps or (entry.dims[layout.index("t")] if "t" in layout and not examples else None)
    if entry.role == "ids":
        return InputSpec(name=name, kind="ids", time_steps=steps)
    width = entry.dims[layout.index("f")] if "f" in layout else 1
    if "t" not in layout:
        return InputSpec(name=name, kind="vector", width=width)
    return InputSpec(name=name, width=width, time_steps=steps)
