"""A program's calls as a graph of ONNX, which the importer of such files then follows.

What is computed of constants alone is known. Knows no operations but those that only assert or count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from onnx import TensorProto, helper

from cellserve.models.importers.onnx.file import OnnxFile
from cellserve.models.importers.onnx.tensors import TensorReader
from cellserve.models.importers.onnx.values import NotTranslated
from cellserve.models.importers.pytorch.export.arithmetic import COMPUTING
from cellserve.models.importers.pytorch.export.drawing import OPSET, Drawing
from cellserve.models.importers.pytorch.export.evaluation import NARROW, NotAllowed, evaluated, is_arithmetic, is_ignored, widened
from cellserve.models.importers.pytorch.export.movement import MOVING, Draw
from cellserve.models.importers.pytorch.export.program import Call, Named, Program, ProgramInput
from cellserve.models.importers.pytorch.export.recurrent import RECURRENT
from cellserve.models.importers.pytorch.export.site import NotDrawn, Site

OPERATIONS: Final[Mapping[str, Draw]] = {**MOVING, **COMPUTING, **RECURRENT}
ALLOWED: Final = frozenset(OPERATIONS)
COUNTING: Final[Mapping[str, str]] = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "floordiv": "Div",
    "sym_max": "Max",
    "sym_min": "Min",
}
COUNTED: Final = "num_batches_tracked"  # a buffer that training alone counts up
INPUT_TYPES: Final[Mapping[torch.dtype, int]] = {
    torch.int64: TensorProto.INT64,
    torch.int32: TensorProto.INT32,
    torch.int16: TensorProto.INT16,
    torch.int8: TensorProto.INT8,
    torch.uint8: TensorProto.UINT8,
    torch.bool: TensorProto.BOOL,
}


def translated(program: Program, path: Path) -> OnnxFile:
    """Raises NotTranslated naming the call that has no translation."""
    drawing = Drawing()
    scope: dict[str, Any] = {name: widened(tensor) for name, tensor in program.constants.items()}
    scope |= {entry.name: entry.name for entry in program.inputs}
    needed = _needed(program)
    for number, call in enumerate(program.calls):
        if is_ignored(call) or number not in needed:
            continue
        drawing.name = _name(call, program)
        try:
            made = _made(call, drawing, scope, program)
        except NotAllowed as stopped:
            raise NotTranslated(UNKNOWN.format(stopped), f"{call.name} ({call.operation})") from stopped
        except NotDrawn as stopped:
            raise NotTranslated(str(stopped), f"{call.name} ({call.operation})") from stopped
        except NotTranslated as stopped:
            stopped.node = stopped.node or f"{call.name} ({call.operation})"
            raise
        except Exception as error:  # arguments of a form that the format does not have, and whatever torch says of numbers
            what = " ".join(str(error).split())[:200]
            raise NotTranslated(
                f"it is of a form not known here ({type(error).__name__}: {what}); the file may be damaged",
                f"{call.name} ({call.operation})",
            ) from error
        scope.update(zip(call.made, made))
        if call.operator.endswith("_") and isinstance(call.given.get("self"), Named):
            scope[call.given["self"].name] = made[0]  # whoever reads it from here on reads what was made of it
    return _file(program, path, drawing, scope)


def _needed(program: Program) -> set[int]:
    """The calls that the outputs need. Raises NotTranslated: something that is kept is changed."""
    wanted, found = set(program.outputs), set[int]()
    for number, call in reversed(list(enumerate(program.calls))):
        changed = call.given.get("self") if call.operator.endswith("_") and not call.operator.startswith("_") else None
        if isinstance(changed, Named) and changed.name in program.places and not program.places[changed.name].endswith(COUNTED):
            raise NotTranslated(KEPT.format(program.places[changed.name]), f"{call.name} ({call.operation})")
        if wanted & set(call.made) or (isinstance(changed, Named) and changed.name in wanted):
            found.add(number)
            wanted |= set(_read(call.given.values()))
    return found


KEPT: Final = "it changes {}, which the module keeps between calls; export it with its state as an input and an output of forward"


UNKNOWN: Final = "{} is no operation that a layer is made of"


def _read(values: Any) -> list[str]:
    names = []
    for one in values:
        if isinstance(one, Named):
            names.append(one.name)
        elif isinstance(one, list):
            names += _read(one)
    return names


def _name(call: Call, program: Program) -> str:
    """Of the module that ran it where that has one of its own, else the call's."""
    for one in call.given.values():
        if isinstance(one, Named) and one.name in program.places and call.place:
            return call.place
    return call.place if call.operator in RECURRENT and call.place else call.name


def _made(call: Call, drawing: Drawing, scope: Mapping[str, Any], program: Program) -> Sequence[Any]:
    values = [scope[name] for name in _read(call.given.values())]
    if not any(isinstance(one, str) for one in values):
        return [one if isinstance(one, torch.Tensor | int | float | bool) else None for one in evaluated(call, scope, ALLOWED)]
    if call.operator == "sym_size":
        return [drawing.size(scope[call.given["self"].name], int(call.given["dim"]))]
    if is_arithmetic(call):
        return [_counted(call, drawing, scope)]
    if not call.operation.startswith("aten.") or call.operator not in OPERATIONS:
        raise NotAllowed(call.operation)
    return OPERATIONS[call.operator](Site(call, drawing, scope, program.sizes, program.example_sizes))


def _counted(call: Call, drawing: Drawing, scope: Mapping[str, Any]) -> str:
    name = call.operation.split(".")[-1]
    if name not in COUNTING:
        raise NotDrawn(f"{call.operation} of a shape is not followed")
    given = [scope[one.name] if isinstance(one, Named) else one for one in call.given.values()]
    return drawing.one(
        COUNTING[name], [one if isinstance(one, str) else drawing.constant(np.array(one, np.int64)) for one in given]
    )


def _file(program: Program, path: Path, drawing: Drawing, scope: Mapping[str, Any]) -> OnnxFile:
    made = [scope.get(name) for name in program.outputs]
    drawing.name = "output"
    names = [_output(drawing, name, value) for name, value in zip(program.outputs, made)]
    graph = helper.make_graph(
        drawing.nodes,
        "program",
        [_declared(entry) for entry in program.inputs],
        [helper.make_empty_tensor_value_info(name) for name in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    kinds = {tensor.dtype for tensor in program.constants.values()} & set(NARROW)
    precisions = frozenset(str(one).removeprefix("torch.") for one in kinds)
    return OnnxFile(path, model, drawing.constants, precisions, TensorReader(str(path), path.parent))


def _output(drawing: Drawing, name: str, value: Any) -> str:
    """Under the program's own name. Raises NotTranslated: it depends on nothing that is fed."""
    if not isinstance(value, str):
        raise NotTranslated(f"its output {name!r} is not computed from its inputs")
    if value == name:
        return name
    drawing.nodes.append(helper.make_node("Identity", [value], [name], name=f"{name}:output"))
    return name


def _declared(entry: ProgramInput) -> Any:
    kind = INPUT_TYPES.get(entry.dtype, TensorProto.FLOAT)
    return helper.make_tensor_value_info(entry.name, kind, [None if size is None else size for size in entry.sizes])
