"""Parts of a foreign graph on one row, by onnx's own reference of every operator. Knows no graph of layers and no runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from cellserve.models.description.layers.carried import Carried, CarriedRowsLayer, CarriedStepsLayer
from cellserve.models.description.layers.layer import Layer
from cellserve.models.reference.twin import Array, Masks, Twin, ends, travels

Arrays = Mapping[str, Array]


def _part(layer: Carried, arrays: Arrays, inputs: list[Array], masks: Masks) -> Array:
    """The whole row at once, in the precision of what is given."""
    from cellserve.models.reference.graph_evaluator import evaluator

    floats = [array.dtype for array in (*inputs, *arrays.values()) if array.dtype.kind == "f"]
    precision = floats[0] if floats else np.dtype(np.float64)
    given = {f"x{place}": array[np.newaxis] for place, array in enumerate(inputs)}
    made = evaluator(layer.content, precision == np.float64).run(["y"], {**given, **arrays})[0]
    answer: Array = np.asarray(made)[0]
    return answer.astype(precision)


TWINS: Final[Mapping[type[Layer], Twin]] = {CarriedStepsLayer: Twin(_part, travels), CarriedRowsLayer: Twin(_part, ends)}
