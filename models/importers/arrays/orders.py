"""Which arrays a layer has in the list of each framework, in which order, and how they become the canonical ones.

A layout is "keras", "torch", "tensorflow1", "flax", "haiku" or "mlx"; only recurrent layers (and torch's matrices) differ between
them, and each framework's records say how. Knows no files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from cellserve.models.description.gate_order import GateOrder
from cellserve.models.description.layers.layer import Layer
from cellserve.models.description.layers.planes import Conv2dLayer
from cellserve.models.description.layers.recurrent import RecurrentLayer
from cellserve.models.description.layers.stepwise import (
    BatchNormalizationLayer,
    DenseLayer,
    EmbeddingLayer,
    LayerNormalizationLayer,
    PReluLayer,
)
from cellserve.models.description.layers.windowed import Conv1dLayer
from cellserve.models.importers import layout
from cellserve.models.importers.arrays import other_frameworks
from cellserve.models.importers.description import Layout
from cellserve.models.importers.keras.layers import records as keras_records
from cellserve.models.importers.layout import Array, Arrays, LayoutError, Listed
from cellserve.models.importers.pytorch import records as torch_records
from cellserve.models.importers.tensorflow1 import records as tensorflow1_records

Shape = tuple[int, ...]

LISTED: Final[Mapping[Layout, Mapping[type[Layer], Listed]]] = {
    "keras": {kind: record.listed for kind, record in keras_records.RECORDS.items()},
    "torch": torch_records.LISTED,
    "tensorflow1": tensorflow1_records.LISTED,
    "flax": other_frameworks.FLAX,
    "haiku": other_frameworks.HAIKU,
    "mlx": other_frameworks.MLX,
}
NAMES: Final[Mapping[Layout, str]] = {
    "keras": "Keras",
    "torch": "torch",
    "tensorflow1": "TensorFlow 1",
    "flax": "Flax",
    "haiku": "Haiku",
    "mlx": "MLX",
}
CELLS_ALONE: Final = ("flax", "haiku", "mlx")  # of which no layers are known but the recurrent ones, matrices and tables
CONVOLUTIONS: Final = (Conv1dLayer, Conv2dLayer)
IN_TORCH: Final = (  # in the order of the canonical arrays, but turned
    *(EmbeddingLayer, DenseLayer, Conv1dLayer, Conv2dLayer, PReluLayer),
    *(BatchNormalizationLayer, LayerNormalizationLayer),
)


def roles(
    layer: Layer, layout: Layout, canonical: Sequence[str], following: Sequence[Array], *, gate_order: GateOrder | None = None
) -> tuple[str, ...]:
    """The layer's arrays in the order of its framework.

    `canonical`: the layer's own canonical arrays; `following`: those next in the list, whose shapes tell Keras's triple per gate
    from its joined arrays. gate_order: of a cell that a program wrote itself, whose arrays hold all gates. Raises LayoutError: a
    layer that the framework does not have.
    """
    if gate_order is not None:
        return _stacked(layer, layout)
    if isinstance(layer, RecurrentLayer):
        return _listed(layer, layout).roles(layer, following)
    if layout in CELLS_ALONE and canonical and not isinstance(layer, DenseLayer | EmbeddingLayer):
        raise LayoutError(
            f"of {NAMES[layout]} no {layer.kind} is known; give its arrays, and its epsilon, as keras or torch has them"
        )
    if layout == "torch" and canonical and not isinstance(layer, IN_TORCH):
        raise LayoutError(f"the layout {layout} knows no {layer.kind}; give its arrays as keras has them")
    return tuple(canonical)


def to_canonical(
    layer: Layer,
    framework: Layout,
    stored: Arrays,
    forget_bias: float,
    *,
    groups: int = 1,
    bands_first: bool = False,
    shapes: Mapping[str, Shape] = {},
    gate_order: GateOrder | None = None,
) -> Arrays:
    """`stored`: by the names of `roles`; `forget_bias` is added to a TensorFlow 1 LSTM's. Raises LayoutError.

    groups: of a convolution's inputs. bands_first: whether the kernel of one over planes has the bands before time. shapes: of
    the canonical arrays; torch's PReLU may have one number for all features.
    """
    if isinstance(layer, RecurrentLayer):
        if gate_order is not None:
            stored = layout.gate_by_gate(layer, stored, gate_order)
        return _listed(layer, framework).canonical(layer, stored, forget_bias)
    if framework in ("torch", "mlx") and isinstance(layer, DenseLayer):
        return layout.torch_linear({"weight": stored["kernel"], **({"bias": stored["bias"]} if layer.use_bias else {})})
    if isinstance(layer, CONVOLUTIONS):
        if framework == "torch":
            stored = layout.torch_convolution(stored, groups)
        elif groups != 1:
            stored = {**stored, "kernel": layout.ungrouped(stored["kernel"], groups)}
        return _over_two_axes(layer, stored, bands_first) if isinstance(layer, Conv2dLayer) else stored
    if isinstance(layer, PReluLayer) and stored["alpha"].shape == (1,):
        return {"alpha": np.broadcast_to(stored["alpha"], shapes["alpha"])}
    return stored


def _over_two_axes(layer: Conv2dLayer, stored: Arrays, bands_first: bool) -> Arrays:
    """A kernel [size, in, out] over the bands of one step, or over the steps of one band, beside that axis of length 1."""
    kernel = stored["kernel"]
    if kernel.ndim == 4 and bands_first:
        return {**stored, "kernel": kernel.swapaxes(0, 1)}
    if kernel.ndim != 3 or 1 not in layer.kernel_size:
        return stored
    return {**stored, "kernel": np.expand_dims(kernel, layer.kernel_size.index(1))}


def _stacked(layer: Layer, framework: Layout) -> tuple[str, ...]:
    if not isinstance(layer, RecurrentLayer) or framework != "torch" or type(layer) in torch_records.RECORDS:
        raise LayoutError("gate_order is of cells that no framework has, in the layout torch; the others have their framework's")
    return torch_records.stacked(layer)


def _listed(layer: RecurrentLayer, framework: Layout) -> Listed:
    """A cell that no framework has is written by hand, in torch."""
    if (own := LISTED[framework].get(type(layer))) is not None:
        return own
    having = [other for other, table in LISTED.items() if type(layer) in table]
    if framework in CELLS_ALONE and having:
        raise LayoutError(f"of {NAMES[framework]} no {layer.kind} is known; give its arrays as {' or '.join(having)} has them")
    if having:
        names = " and ".join(NAMES[one] for one in having)
        raise LayoutError(f"only {names} had {layer.kind} layers; their layout is {having[0]}")
    if framework != "torch":
        raise LayoutError(f"{NAMES[framework]} has no {layer.kind} layers; the layout torch takes those of a program's own")
    return torch_records.BY_HAND
