"""A program that takes its states and gives their next values, as a step model: one call for each feed.

What onnxruntime runs is the program's translation, which is held against torch's own operations before it is anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, helper, numpy_helper

from cellserve.models.errors import ImportRefused
from cellserve.models.importers.description import Description
from cellserve.models.importers.imported import ImportedStepModel, Source
from cellserve.models.importers.onnx.file import OnnxFile
from cellserve.models.importers.onnx.runtime import NotRun
from cellserve.models.importers.onnx.steps.importing import step_model_of
from cellserve.models.importers.onnx.steps.reading import StepFile, step_file
from cellserve.models.importers.onnx.steps.roles import has_states
from cellserve.models.importers.pytorch.export.evaluation import TorchRuntime
from cellserve.models.importers.pytorch.export.program import Program
from cellserve.models.importers.pytorch.export.translation import ALLOWED

Array = npt.NDArray[Any]
TRIALS: Final = 3
LARGEST_DIFFERENCE: Final = 1e-4


def gives_states_back(file: OnnxFile, program: Program) -> bool:
    """Whether an output is told to be the next value of an input."""
    try:
        return has_states(_step_file(file, program), Description())
    except ImportRefused:
        return False


def stepping(
    program: Program,
    file: OnnxFile,
    description: Description,
    origin: Source,
    notes: tuple[str, ...],
    states: Mapping[str, str] | None,
) -> ImportedStepModel:
    """`states`: outputs that are inputs of the next call; None: they are told by their names and shapes.

    Raises ImportRefused: they are not told, or onnxruntime answers otherwise than torch.
    """
    own = _step_file(file, program)
    if states is not None and description.states is None:
        description = description.model_copy(update={"states": dict(states)})
    model = step_model_of(own, description, origin, notes)
    _agree(own, program, str(file.path))
    return model


def _step_file(file: OnnxFile, program: Program) -> StepFile:
    model = ModelProto()
    model.CopyFrom(file.model)
    graph = model.graph
    for name, array in file.constants.items():
        graph.initializer.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
    for entry in graph.input:
        _name_sizes(entry)
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, _sizes(program.sizes.get(name, ()))) for name in program.outputs
    )
    return step_file(model, file.path)


def _name_sizes(entry: Any) -> None:
    """Of several free axes the first is that of rows, and the others are time."""
    for place, dim in enumerate(one for one in entry.type.tensor_type.shape.dim if not one.HasField("dim_value")):
        dim.dim_param = "batch" if place == 0 else "time"


def _sizes(sizes: Any) -> list[int | str]:
    found: list[int | str] = []
    for size in sizes:
        free = "time" if "batch" in found else "batch"
        found.append(free if size is None else int(size))
    return found


def _agree(own: StepFile, program: Program, source: str) -> None:
    """Raises ImportRefused: on random numbers onnxruntime answers otherwise than torch."""
    runtime, random = TorchRuntime(program, program.outputs, ALLOWED), np.random.default_rng(0)
    sizes = {size for entry in own.inputs for size in entry.dims or ()}
    example = {size: {"batch": 2, "time": 23}.get(size, 1) if isinstance(size, str) else size or 1 for size in sizes}
    for _ in range(TRIALS):
        feeds = {
            entry.name: random.standard_normal([example.get(size, 1) for size in entry.dims or ()]).astype(entry.dtype)
            for entry in own.inputs
        }
        try:
            wanted = runtime(feeds)
            found = dict(zip(program.outputs, own.session.run(list(program.outputs), feeds)))
        except (NotRun, RuntimeError) as error:
            raise ImportRefused(source, f"torch and onnxruntime do not both run it: {error}") from error
        apart = max(float(np.abs(wanted[name] - found[name]).max(initial=0.0)) for name in program.outputs)
        if apart > LARGEST_DIFFERENCE:
            raise ImportRefused(source, f"onnxruntime answers up to {apart:.2g} otherwise than torch with what is translated")
