"""Which operation stands in a configuration, under its name in Keras 3 or in TensorFlow. Knows no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from cellserve.models.importers.keras.configuration.calls import Call
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Tensor
from cellserve.models.importers.keras.operations.arguments import Operation, Tensors
from cellserve.models.importers.keras.operations.arithmetic import ARITHMETIC
from cellserve.models.importers.keras.operations.slices import item
from cellserve.models.importers.keras.operations.tensorflow import TENSORFLOW_LAYERS, keras_3_name, keywords_of, options_of


def arithmetic_of(raw: Mapping[str, Any], call: Call) -> Operation | None:
    """None for a layer, and for an operation that is none of these."""
    if raw.get("class_name") in TENSORFLOW_LAYERS:
        return tensorflow_operation(raw)
    found, config, module = OPERATIONS.get(str(raw.get("class_name"))), raw.get("config"), raw.get("module")
    if module is not None:
        return found if str(module).startswith("keras.src.ops") else None
    unlike_layers = isinstance(config, Mapping) and "trainable" not in config  # in .h5 files, which leave the module out
    return found if call.arguments and unlike_layers else None


def as_operation(raw: Mapping[str, Any], keras: KerasLayer, call: Call) -> KerasLayer:
    """An operation of TensorFlow under Keras 3's name and with its options; any other layer as it is."""
    name = keras_3_name(raw) if raw.get("class_name") in TENSORFLOW_LAYERS else None
    return keras if name is None else replace(keras, class_name=name, config=options_of(name, keywords_of(call)))


def tensorflow_operation(raw: Mapping[str, Any]) -> Operation | None:
    """An operation of TensorFlow among the layers of tf.keras, under the name that Keras 3 has for it."""
    name = keras_3_name(raw)
    return None if name is None else partial(_of_tensorflow, name=name)


def _of_tensorflow(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors, *, name: str) -> Tensor:
    keywords = keywords_of(call)
    named = replace(keras, class_name=name, config=options_of(name, keywords))
    return OPERATIONS[name](graph, named, replace(call, keywords=keywords), tensors)


OPERATIONS: Final[Mapping[str, Operation]] = {**ARITHMETIC, "GetItem": item}
