"""A program of PyTorch's, whatever file it came in, as a canonical network or, where it gives its states back, a step model.

Translated, followed as a graph of ONNX is, and held against torch's own operations. Knows no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import Imported, Source
from cellserve.models.importers.onnx.importing import FIELDS, Told, of_graph
from cellserve.models.importers.onnx.steps.importing import FIELDS as STEPS
from cellserve.models.importers.onnx.values import NotTranslated
from cellserve.models.importers.pytorch.export.evaluation import TorchRuntime
from cellserve.models.importers.pytorch.export.program import Program
from cellserve.models.importers.pytorch.export.stepping import gives_states_back, stepping
from cellserve.models.importers.pytorch.export.translation import ALLOWED, translated

OWN_FIELDS: Final = (FIELDS | STEPS) - {"dequantize"}


def network_of(
    program: Program,
    path: Path,
    description: Description,
    origin: Source,
    *,
    way_out: str,
    notes: tuple[str, ...],
    examples: bool,
    states: Mapping[str, str] | None = None,
) -> Imported:
    """`examples`: whether the sizes of its inputs are those of an example. `states`: outputs that are inputs of the next call.

    Raises ImportRefused: it is neither layers nor steps; `way_out` says what to do.
    """
    source = str(path)
    try:
        file = translated(program, path)
    except NotTranslated as stopped:
        raise ImportRefused(source, f"{stopped.what}. {way_out}", layer=stopped.node) from stopped
    said = description.model_fields_set & STEPS and description.step is not False
    if states is not None or said:
        return stepping(program, file, description, origin, notes, states)
    told = Told(lambda outputs: TorchRuntime(program, outputs, ALLOWED), examples=examples, advice="", notes=notes)
    own = description.model_copy(update={"step": None})
    try:
        return of_graph(file, own, origin, told=told)
    except ImportRefused as refused:
        if description.step is None and gives_states_back(file, program):
            return stepping(program, file, description, origin, notes, None)
        try:
            return of_graph(file, own, origin, carry=True, told=told)
        except ImportRefused:
            raise ImportRefused(
                source, f"{refused.what.rstrip('.')}. {way_out}", layer=refused.layer, option=refused.option
            ) from refused
