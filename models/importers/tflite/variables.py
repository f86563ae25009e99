"""Variables of a TFLite file, which it keeps from call to call: what they begin with. Knows no layers."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from cellserve.models.importers.tflite.call import Call
from cellserve.models.importers.tflite.file import Graph, TfliteFile

Array = npt.NDArray[Any]
OF_VARIABLES: Final = frozenset({"VAR_HANDLE", "ASSIGN_VARIABLE", "CALL_ONCE"})
"""They make no numbers: which variable, what it is from the next call on, and what it is before the first."""


def initial(call: Call, file: TfliteFile) -> Array:
    """Of READ_VARIABLE: what the variable begins with. Raises ImportRefused: nothing in the file says."""
    name = _name(call.graph, call.operator.input(0))
    once = [one.options.get("InitSubgraphIndex", -1) for one in file.graphs[0].operators if one.kind == "CALL_ONCE"]
    for graph in (file.graphs[number] for number in once if 0 < number < len(file.graphs)):
        for operator in graph.operators:
            if operator.kind == "ASSIGN_VARIABLE" and name is not None and _name(graph, operator.input(0)) == name:
                array = graph.tensors[operator.input(1)].array
                if array is not None:
                    return np.asarray(array)
    raise call.refused(
        "it reads a variable that the file does not hold, so that TFLite does not run it either: convert the model again with "
        "experimental_enable_resource_variables = False, or import the model that it was converted from (.keras, .h5)"
    )


def _name(graph: Graph, number: int) -> Any:
    handle = next((one for one in graph.operators if one.kind == "VAR_HANDLE" and number in one.outputs), None)
    return None if handle is None else (handle.options.get("Container"), handle.options.get("SharedName"))
