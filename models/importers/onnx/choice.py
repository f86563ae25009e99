"""How an ONNX file is served: as the layers that its graph is, where it is known layers as a whole, else as a step model.

A translated network is preferred where sequences of it can be fed piece by piece: it has all implementations and takes any
length. A graph that gives states back, and is no such network, is called as it is. Knows no operators.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cellserve.models.description.described import obstacle_of
from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import Imported
from cellserve.models.importers.onnx.importing import FIELDS as LAYERS
from cellserve.models.importers.onnx.importing import load_onnx
from cellserve.models.importers.onnx.steps.importing import FIELDS, SHARED, load_step_model
from cellserve.models.importers.onnx.steps.reading import StepFile, read_step_file
from cellserve.models.importers.onnx.steps.roles import has_states, has_states_in_order, may_have_states

UNTOLD: Final = (
    "If the graph gives states back, it can be served as a step model: say which outputs are the next values of which inputs in "
    "a --description, `states: {input: output}`"
)


def load_graph(path: Path, description: Description) -> Imported:
    """Raises ImportRefused: neither; then why it is no network of layers, unless it was to be a step model or has states."""
    description.refuse_all_but(FIELDS | LAYERS, str(path), "an ONNX file, which says the rest itself")
    if description.step is False:
        description.refuse_all_but(LAYERS | {"step"}, str(path), "layers")
        return load_onnx(path, Description.model_validate(description.model_dump(include=set(LAYERS), exclude_unset=True)))
    if description.model_fields_set & FIELDS:
        description.refuse_all_but(FIELDS | SHARED, str(path), "an ONNX graph that is called as it is")
        return load_step_model(path, description)
    try:
        translated = load_onnx(path, description)
    except ImportRefused as refused:
        if description.dequantize:
            return _carried(path, description, refused, hint=False)
        file = _step_file(path)
        if file is not None and has_states(file, description):
            return _as_step_model(path, description, refused)
        try:
            return _carried(path, description, refused, hint=file is not None and may_have_states(file))
        except ImportRefused as neither:
            if file is None or not has_states_in_order(file):
                raise
            return _as_step_model(path, description, neither)
    if not description.dequantize and obstacle_of(translated.spec) is not None and _gives_states_back(path, description):
        return load_step_model(path, description)
    return translated


def _as_step_model(path: Path, description: Description, refused: ImportRefused) -> Imported:
    try:
        return load_step_model(path, description)
    except ImportRefused as error:
        what = f"{error.what}. It is no network of known layers either: {refused.what}"
        raise ImportRefused(error.source, what, layer=error.layer or refused.layer, option=error.option) from error


def _carried(path: Path, description: Description, refused: ImportRefused, *, hint: bool) -> Imported:
    """With the parts that no layer does as they are."""
    try:
        return load_onnx(path, description, carry=True)
    except ImportRefused as error:
        what = refused.what
        if error.what != what:
            place = f"{error.layer}: " if error.layer else ""
            what = f"{what.rstrip('.')}. Nor can what is no layer be carried: {place}{error.what}"
        if hint:
            what = f"{what.rstrip('.')}. {UNTOLD}"
        raise ImportRefused(refused.source, what, layer=refused.layer, option=refused.option) from refused


def _gives_states_back(path: Path, description: Description) -> bool:
    file = _step_file(path)
    return file is not None and has_states(file, description)


def _step_file(path: Path) -> StepFile | None:
    """None: it cannot be called as it is."""
    try:
        return read_step_file(path)
    except ImportRefused:
        return None
