"""How an ONNX file is served: as the layers that its graph is, where it is known layers as a whole, else as a step model.

A translated network is preferred where sequences of it can be fed piece by piece: it has all implementations and takes any
length. A graph that gives states back, and is no such network, is called as it is. Knows no operators.
"""

from __future__ import annotations

from pathlib import Path

from cellserve.models.description.described import obstacle_of
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import Imported
from cellserve.models.importers.onnx.importing import FIELDS as LAYERS
from cellserve.models.importers.onnx.importing import load_onnx
from cellserve.models.importers.onnx.steps.importing import FIELDS, SHARED, load_step_model
from cellserve.models.importers.onnx.steps.reading import read_step_file
from cellserve.models.importers.onnx.steps.roles import has_states


def load_graph(path: Path, description: Description) -> Imported:
    """Raises ImportRefused: neither; then why it is no network of layers, unless it was to be a step model or has states."""
    description.refuse_all_but(FIELDS | LAYERS, str(path), "an ONNX file, which says the rest itself")
    if description.step is False:
        description.refuse_all_but(LAYERS | {"step"}, str(path), "layers")
        return load_onnx(path, Description.model_validate(description.model_dump(include=set(LAYERS), exclude_unset=True)))
    if description.model_fields_set & FIELDS:
        description.refuse_all_but(FIELDS | SHARED, str(path), "an ONNX graph that is called as it is")
        return load_step_model(path, description)
    if description.dequantize:
        return load_onnx(path, description)
    try:
        translated = load_onnx(path, description)
    except ImportRefused as refused:
        if not _gives_states_back(path, description):
            raise
        try:
            return load_step_model(path, description)
        except ImportRefused as error:
            what = f"{error.what}. It is no network of known layers either: {refused.what}"
            raise ImportRefused(error.source, what, layer=error.layer or refused.layer, option=error.option) from error
    if obstacle_of(translated.spec) is not None and _gives_states_back(path, description):
        return load_step_model(path, description)
    return translated


def _gives_states_back(path: Path, description: Description) -> bool:
    try:
        return has_states(read_step_file(path), description)
    except ImportRefused:
        return False
