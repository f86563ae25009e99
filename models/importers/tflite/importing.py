"""TFLite files as canonical networks: turned into the ONNX graph that computes the same, and read as that. Knows no operators."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import ImportedModel, Source, file_digest
from cellserve.models.importers.onnx.importing import of_graph
from cellserve.models.importers.tflite.file import TfliteFile, read_tflite
from cellserve.models.importers.tflite.graph import ORIGINAL, as_onnx, is_quantized

FIELDS: Final = frozenset({"dequantize", "outputs"})
STATES: Final = (
    "Its recurrent layers start from zeros in every request. TFLite's interpreter starts them from where its last call ended, "
    "until its variables are reset: compare with a fresh one. What goes on is a live sequence here."
)


def load_tflite(path: Path, description: Description) -> ImportedModel:
    """At any number of steps, if the graph is layers then; else at the number that the file fixes; else with parts as they are.

    onnxruntime has judged the graph that it became; what the interpreter answers, nothing here can ask.

    Raises ImportRefused naming the operator, what of it is no layer, and what to do.
    """
    description.refuse_all_but(FIELDS, str(path), "a TFLite file, which says the rest itself")
    file = read_tflite(path)
    dequantize = bool(description.dequantize)
    origin = Source("tflite", file.said, path.name, file_digest(path))
    model = _first(file, description, origin, dequantize=dequantize)
    notes = [*(_on_quantization(file) if dequantize else ()), *model.notes]
    if _keeps_states(file):
        notes.append(STATES)
    return replace(model, notes=tuple(notes), answers=())  # onnxruntime's, which are not the interpreter's


def _first(file: TfliteFile, description: Description, origin: Source, *, dequantize: bool) -> ImportedModel:
    refused: ImportRefused | None = None
    for free, carry in ((True, False), (False, False), (True, True)):
        try:
            graph = as_onnx(file, free=free, dequantize=dequantize)
            return of_graph(graph, description, origin, carry=carry, free=free, one_row=True)
        except ImportRefused as error:
            refused = error if refused is None or not free else refused
    assert refused is not None
    what = refused.what if ORIGINAL in refused.what else f"{refused.what.rstrip('.')}; {ORIGINAL}"
    raise ImportRefused(refused.source, what, layer=refused.layer, option=refused.option) from refused


def _on_quantization(file: TfliteFile) -> tuple[str, ...]:
    if not is_quantized(file):
        return ("Nothing in the file computes with few bits: there was nothing to dequantise.",)
    return (
        "Its weights are dequantised and everything is computed in float32, as --dequantize says. The file itself, which rounds "
        "what it computes with, answers otherwise, by how much nothing here tells: compare with the interpreter's answers.",
    )


def _keeps_states(file: TfliteFile) -> bool:
    return any(tensor.variable for tensor in file.graphs[0].tensors)
