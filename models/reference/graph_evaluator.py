"""A part of a foreign graph under onnx's own reference of every operator. Imports onnx: only for who runs such a part."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator


@lru_cache(maxsize=16)
def evaluator(content: bytes, double: bool) -> Any:
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
