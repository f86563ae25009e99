"""Parts of ONNX graphs as tests write them: a few nodes between x0 and y, as the layers that carry them. They read any width."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from cellserve.models.description.layers.carried import CarriedRowsLayer, CarriedStepsLayer

MATRIX = (1, 3)


def node(operator: str, read: str, made: str, **attributes: Any) -> NodeProto:
    """read: names with spaces between."""
    return helper.make_node(operator, read.split(), [made], **attributes)


def part(*nodes: NodeProto, arrays: Sequence[str] = ()) -> str:
    """`arrays`: names of matrices that the version gives. Others are there as numbers."""
    constants = {"steps": [1], "features": [-1], "first": [0], "end": [2**31], "leap": [2]}
    inside = [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in constants.items()]
    for name in arrays:
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=MATRIX, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="weights")
        inside.append(tensor)
    given = helper.make_tensor_value_info("x0", TensorProto.FLOAT, None)
    one = node("ReduceMean", "x0 features", "one")
    graph = helper.make_graph([one, *nodes], "part", [given], [helper.make_empty_tensor_value_info("y")], inside)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return b64encode(model.SerializeToString()).decode()


def stepwise(name: str, source: str) -> CarriedStepsLayer:
    """The sine of the mean of a step's features, times a matrix."""
    graph = part(node("Sin", "one", "sine"), node("MatMul", "sine c0", "y"), arrays=["c0"])
    return CarriedStepsLayer(name=name, inputs=(source,), graph=graph, constants=(("c0", MATRIX),), units=3, together=True)


def centred(name: str, source: str, *, together: bool = True) -> CarriedRowsLayer:
    """Each step without the mean of the row."""
    graph = part(node("ReduceMean", "one steps", "mean"), node("Sub", "one mean", "y"))
    return CarriedRowsLayer(name=name, inputs=(source,), graph=graph, units=1, makes="sequence", together=together)


def every_other(name: str, source: str) -> CarriedRowsLayer:
    """The first step, the third and so on, of the row without its mean."""
    less = node("ReduceMean", "one steps", "mean"), node("Sub", "one mean", "less")
    graph = part(*less, node("Slice", "less first end steps leap", "y"))
    return CarriedRowsLayer(
        name=name, inputs=(source,), graph=graph, units=1, makes="sequence", strides=2, padding="same", together=False
    )


def norm(name: str, source: str) -> CarriedRowsLayer:
    """The length of a row as a vector over time."""
    graph = part(node("ReduceL2", "one steps", "y", keepdims=0))
    return CarriedRowsLayer(name=name, inputs=(source,), graph=graph, units=1, makes="vector", together=True)
