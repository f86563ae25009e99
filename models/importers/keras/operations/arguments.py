"""What an operation is called with: tensors, of which none may be masked, and constants.

An operation knows no masks: of a masked sequence only what forgets the mask anyway is taken. Knows no operation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cellserve.models.importers.keras.configuration.calls import Call, TensorKey
from cellserve.models.importers.keras.graph import Graph, KerasLayer, Tensor

Tensors = Mapping[TensorKey, Tensor]
Operation = Callable[[Graph, KerasLayer, Call, Tensors], Tensor]


def both(graph: Graph, keras: KerasLayer, call: Call) -> tuple[Any, Any]:
    """Its two arguments, of which one may come by name."""
    given = [*call.arguments, *(call.keywords[name] for name in ("x1", "x2", "y", "key") if name in call.keywords)]
    if len(given) != 2:
        graph.refuse(keras, f"it is called with {len(given)} arguments where two are expected")
    return given[0], given[1]


def only(graph: Graph, keras: KerasLayer, call: Call, tensors: Tensors) -> Tensor:
    return unmasked(graph, keras, graph.only(keras, [tensors[key] for key in call.needs()]))


def unmasked(graph: Graph, keras: KerasLayer, source: Tensor) -> Tensor:
    if source.masks:
        graph.refuse(
            keras, f"the operation {keras.class_name} forgets the mask of its input, which is not supported; use a layer for it"
        )
    return source


def require_last(graph: Graph, keras: KerasLayer, source: Tensor) -> None:
    last = len(graph.shape(source).features) + source.sequence
    if keras.config.get("axis", -1) not in (-1, last):
        graph.refuse(keras, f"{keras.class_name} works along the last axis alone here", "axis")


def constant_of(graph: Graph, keras: KerasLayer, value: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(value.get("config"), Mapping):
        value = value["config"].get("value")
    try:
        number = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        graph.refuse(keras, f"one of its arguments is neither a tensor nor a number: {value!r:.60}")
    if number.size == (number.shape[-1] if number.ndim else 1):
        number = number.reshape(-1)
    if number.ndim != 1:
        graph.refuse(keras, f"a constant of the shape {list(number.shape)} is not supported; one for each feature is")
    return number
