"""ONNX files as canonical networks: read, followed under the reading of their inputs that fits, and held against onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.description.layers.cells import LstmLayer
from cellserve.models.description.shapes import required_time_steps
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.completeness import complete
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import ImportedModel, Source, file_digest
from cellserve.models.importers.onnx.file import OnnxFile, is_quantized, read_onnx
from cellserve.models.importers.onnx.graph_inputs import GraphInput, Reading, graph_inputs
from cellserve.models.importers.onnx.notes import notes_on, on_examples
from cellserve.models.importers.onnx.quantization.rewriting import dequantized
from cellserve.models.importers.onnx.runtime import Answering, NotRun, Runtime
from cellserve.models.importers.onnx.translation import declared, described, translated
from cellserve.models.importers.onnx.truth import Truth
from cellserve.models.spec import ModelSpec

Array = npt.NDArray[Any]
FIELDS: Final = frozenset({"constants", "dequantize", "outputs"})
ADVICE: Final = "; cellserve serves graphs that are layers as a whole. Where the model was trained, its own file may say more"


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
        done = translated(
            file, inputs, options, wanted, told.advice, carry=carry, free=free or (carry and told.examples), one_row=one_row
        )
    spec = described(done, inputs, source, examples=told.examples)
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
    said = declared(reading, inputs)
    return reading.steps is not None and reading.steps not in said and required_time_steps(spec) is not None


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
