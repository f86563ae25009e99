"""Parts of a foreign graph on one row, by onnx's own reference of every operator. Knows no graph of layers and no runtime."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from cellserve.models.description.layers.carried import Carried, CarriedRowsLayer, CarriedStepsLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.reference.twin import Array, Masks, Twin, ends, travels

Arrays = Mapping[str, Array]


def _part(layer: Carried, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    """The whole row at once, in the precision of what is given."""
    floats = [array.dtype for array in (*inputs, *arrays.values()) if array.dtype.kind == "f"]
    precision = floats[0] if floats else np.dtype(np.float64)
    given = {f"x{place}": array[np.newaxis] for place, array in enumerate(inputs)}
    made = _evaluator(layer.content, precision == np.float64).run(["y"], {**given, **arrays})[0]
    answer: Array = np.asarray(made)[0]
    return answer.astype(precision)


@lru_cache(maxsize=16)
def _evaluator(content: bytes, double: bool) -> Any:
    """The part with its arrays left out, which are given like its inputs. `double`: all of its floats in float64."""
    model = ModelProto()
    model.ParseFromString(content)
    own = [tensor for tensor in model.graph.initializer if not tensor.external_data]
    del model.graph.initializer[:]
    model.graph.initializer.extend(_doubled(tensor) if double else tensor for tensor in own)
    if double:
        for node in model.graph.node:
            _double(node)
    return ReferenceEvaluator(model)


def _double(node: NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            attribute.t.CopyFrom(_doubled(attribute.t))
        elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
            value = helper.get_attribute_value(attribute)
            attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(np.asarray(value, np.float64))))
        elif node.op_type in ("Cast", "EyeLike") and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.DOUBLE
    if node.op_type == "ConstantOfShape" and not node.attribute:  # zeros, of float32 where nothing is said
        node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.zeros(1))))


def _doubled(tensor: TensorProto) -> TensorProto:
    if tensor.data_type != TensorProto.FLOAT:
        return tensor
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)


TWINS: Final[Mapping[type[Layer], Twin]] = {CarriedStepsLayer: Twin(_part, travels), CarriedRowsLayer: Twin(_part, ends)}
