"""ONNX files as canonical networks: read, followed under the reading of their inputs that fits, and held against onnxruntime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.shapes import input_shape, required_time_steps
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.completeness import complete
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import ImportedModel, Source, file_digest
from cellserve.models.importers.onnx.carrying.carrier import Carrier, vocabularies
from cellserve.models.importers.onnx.draft import Draft
from cellserve.models.importers.onnx.file import OnnxFile, all_nodes, is_quantized, read_onnx
from cellserve.models.importers.onnx.folding import Folding
from cellserve.models.importers.onnx.graph_inputs import GraphInput, Reading, graph_inputs, readings, values
from cellserve.models.importers.onnx.layers.recurrent import OPERATORS as RECURRENT
from cellserve.models.importers.onnx.loops.unrolled import is_unrolled
from cellserve.models.importers.onnx.notes import notes_on, on_examples
from cellserve.models.importers.onnx.operators import LOOP_HELP, LOOPS
from cellserve.models.importers.onnx.quantization.rewriting import dequantized
from cellserve.models.importers.onnx.runtime import Answering, NotRun, Runtime
from cellserve.models.importers.onnx.truth import Truth
from cellserve.models.importers.onnx.values import Flow, Given, NotTranslated, Value
from cellserve.models.importers.onnx.walk import Walk, needed
from cellserve.models.spec import InputSpec, ModelSpec

Array = npt.NDArray[Any]
FIELDS: Final = frozenset({"constants", "dequantize", "outputs"})
MOST_CARRIED_READINGS: Final = 24  # each runs what would be carried many times
ADVICE: Final = "; cellserve serves graphs that are layers as a whole. Where the model was trained, its own file may say more"
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


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a graph beside itself. `runtime`: what its file answers, by the outputs that are asked for.

    `examples`: whether the sizes that its inputs declare are those of an example, not all that it takes. `advice`: what to say
    behind what is no layer. `notes`: to begin with.
    """

    runtime: Callable[[Sequence[str]], Answering]
    examples: bool = False
    advice: str = ADVICE
    notes: tuple[str, ...] = ()


def load_onnx(path: Path, description: Description, *, carry: bool = False) -> ImportedModel:
    """`carry`: with parts that no layer does, as they are.

    Raises ImportRefused naming the node, what of it is no layer, and what to do.
    """
    description.refuse_all_but(FIELDS, str(path), "an ONNX file, which says the rest itself")
    given = read_onnx(path, quantized=bool(description.dequantize))
    file = dequantized(given) if description.dequantize else given
    source = Source("onnx", _producer(file), path.name, file_digest(path))
    return of_graph(file, description, source, carry=carry, given=given)


def of_graph(
    file: OnnxFile,
    description: Description,
    origin: Source,
    *,
    carry: bool = False,
    free: bool = False,
    one_row: bool = False,
    given: OnnxFile | None = None,
    told: Told | None = None,
) -> ImportedModel:
    """A graph that another kind of file may hold too. `free`: only if it is layers at any number of steps.

    `one_row`: shapes in it may be those of one row, whatever the number of rows. `given`: as it was before it was dequantised,
    where onnxruntime runs it. `told`: where it stands for a program of another kind. Raises ImportRefused as load_onnx does.
    """
    told = told or Told(partial(_runtime, file))
    source = str(file.path)
    inputs = graph_inputs(file)
    options = _options(inputs, description, source)
    wanted = _outputs(file, description, source)
    with np.errstate(all="ignore"):  # what is not finite in the end is refused by name
        done = _translated(
            file, inputs, options, wanted, told.advice, carry=carry, free=free or (carry and told.examples), one_row=one_row
        )
    spec = _spec(done, inputs, source, examples=told.examples)
    if not carry and _at_a_guessed_length_only(spec, inputs, done.reading):
        with suppress(ImportRefused):
            return of_graph(file, description, origin, carry=True, free=free, one_row=one_row, given=given, told=told)
    model = complete(spec, done.draft.arrays, origin, (), file.path, file.precisions)
    keys = {layer.name: str(index) for index, layer in enumerate(spec.recurrent_layers)}
    starts = {f"{keys[layer]}.{state}": given for (layer, state), given in done.starts.items()}
    asked = [*done.outputs, *done.states]
    truth = Truth(
        source, told.runtime(asked), _unclipped(spec), model.weights, inputs, done.reading, done.names, done.outputs, done.states,
        starts, options, done.otherwise,
    )  # fmt: skip
    answers, contradictions = truth.answers()
    answers = answers if truth.spec is spec else ()  # else they are of cells without their bounds
    remarks = _on_quantization(truth, given, asked) if given is not None and description.dequantize else ()
    exported = on_examples(inputs, done.reading) if told.examples else []
    said = (*exported, *notes_on(inputs, done.states, starts, keys, options))
    notes = (*told.notes, *remarks, *said, *done.draft.remarks, *contradictions, *model.notes)
    return ImportedModel(spec, model.weights, origin, notes, answers)


def _unclipped(spec: ModelSpec) -> ModelSpec:
    """Without bounds of cells, which ONNX does not have: what onnxruntime can judge."""
    clipped = [layer for layer in spec.layers if isinstance(layer, LstmLayer) and layer.cell_clip is not None]
    layers = tuple(layer.model_copy(update={"cell_clip": None}) if layer in clipped else layer for layer in spec.layers)
    return spec.model_copy(update={"layers": layers}) if clipped else spec


def _at_a_guessed_length_only(spec: ModelSpec, inputs: Sequence[GraphInput], reading: Reading) -> bool:
    """Whether its layers fit at one number of steps, which nothing of the file's inputs says."""
    declared = _declared(reading, inputs)
    return reading.steps is not None and reading.steps not in declared and required_time_steps(spec) is not None


def _on_quantization(truth: Truth, given: OnnxFile, outputs: Sequence[str]) -> tuple[str, ...]:
    """What became of it, and how far the file's own answers lie from those that are served."""
    if not is_quantized(given):
        return ("Nothing in the file is quantised: there was nothing to dequantise.",)
    try:
        apart = f"The file itself answers up to {truth.apart_from(Runtime(given, outputs)):.2g} otherwise, on random rows alone"
    except NotRun as error:
        apart = f"How far the file's own answers lie from these is not known, since onnxruntime does not run it: {error}"
    return (
        "Its weights are dequantised and everything is computed in float32, as --dequantize says, so that a row's answer does "
        f"not depend on its batch mates. {apart}.",
    )


def _producer(file: OnnxFile) -> str:
    said = " ".join(str(word) for word in (file.model.producer_name, file.model.producer_version) if word)
    return f"opset {file.opset}" + (f", {said[:60]}" if said else "")


def _runtime(file: OnnxFile, outputs: Sequence[str]) -> Runtime:
    try:
        return Runtime(file, outputs)
    except NotRun as error:
        raise ImportRefused(
            str(file.path), f"onnxruntime does not load it, so that nothing tells what it answers: {error}"
        ) from error


def _options(inputs: Sequence[GraphInput], description: Description, source: str) -> dict[str, Array]:
    """The numbers that the description binds inputs to, as the graph takes them."""
    said = description.constants or {}
    known = {entry.name: entry for entry in inputs}
    for name in said:
        if name not in known:
            raise ImportRefused(source, f"the graph has no input {name!r}; it has {', '.join(known)}", option="constants")
    for entry in inputs:
        if entry.role == "option" and entry.name not in said:
            raise ImportRefused(
                source,
                f"its input {entry.name!r} is one number, which its graph may depend on as a whole; say it in a --description: "
                f"`constants: {{{entry.name}: 16000}}`",
            )
    return {name: np.full([size or 1 for size in known[name].dims], value, known[name].dtype) for name, value in said.items()}


def _outputs(file: OnnxFile, description: Description, source: str) -> list[str]:
    own = [entry.name for entry in file.graph.output]
    for name in description.outputs or ():
        if name not in own:
            raise ImportRefused(source, f"the graph has no output {name!r}; it has {', '.join(own)}", option="outputs")
    return list(description.outputs or own)


def _translated(
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
    return _declared(reading, inputs) == {reading.steps}


def _declared(reading: Reading, inputs: Sequence[GraphInput]) -> set[int | None]:
    """Numbers of steps."""
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
        if not isinstance(value, Flow) or value.ids:
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
    if walk.carrier is not None:
        walk.draft.keep_only_what_leads_to(*references, *(part.reference for flow in states.values() for part in flow.parts))
        walk.draft.remarks += walk.carrier.remarks
    return Translation(reading, names, walk.draft, outputs, references, states, walk.starts)


def _spec(done: Translation, inputs: Sequence[GraphInput], source: str, *, examples: bool) -> ModelSpec:
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
