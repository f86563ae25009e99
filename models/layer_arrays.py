"""The weight arrays of each layer, by canonical name within the layer, with their shapes. Knows no graph and no values."""

from __future__ import annotations

from cellserve.models.spec import (
    BatchNormalizationLayer,
    Conv1dLayer,
    DenseLayer,
    EmbeddingLayer,
    GruLayer,
    JzsLayer,
    LayerNormalizationLayer,
    LayerSpec,
    LstmLayer,
    PReluLayer,
    RecurrentLayer,
)

Shapes = dict[str, tuple[int, ...]]


def layer_arrays(layer: LayerSpec, width: tuple[int, ...]) -> Shapes:
    """`width`: the last axis of the layer's (first) input, () for ids."""
    if isinstance(layer, RecurrentLayer):
        return _recurrent(layer, *width)
    match layer:
        case EmbeddingLayer():
            return {"table": (layer.vocabulary, layer.units)}
        case DenseLayer():
            return {"kernel": (*width, layer.units)} | _bias(layer)
        case Conv1dLayer():
            return {"kernel": (layer.kernel_size, *width, layer.units)} | _bias(layer)
        case BatchNormalizationLayer():
            return _affine(layer, width) | {"moving_mean": width, "moving_variance": width}
        case LayerNormalizationLayer():
            return _affine(layer, width)
        case PReluLayer():
            return {"alpha": width}
        case _:
            return {}


def _bias(layer: DenseLayer | Conv1dLayer) -> Shapes:
    return {"bias": (layer.units,)} if layer.use_bias else {}


def _affine(layer: BatchNormalizationLayer | LayerNormalizationLayer, width: tuple[int, ...]) -> Shapes:
    return ({"gamma": width} if layer.scale else {}) | ({"beta": width} if layer.center else {})


def _recurrent(layer: RecurrentLayer, inputs: int) -> Shapes:
    columns, units = layer.input_gates * layer.units, layer.units
    arrays: Shapes = {
        "kernel": (inputs, columns),
        "recurrent_kernel": (layer.output_units, len(layer.recurrent_gates) * units),
    }
    if layer.use_bias:
        arrays["bias"] = (columns,)
        if isinstance(layer, GruLayer) and layer.reset_after:
            arrays["recurrent_bias"] = (columns,)
        if isinstance(layer, JzsLayer) and layer.variant == 1:  # the candidate's is added outside of a tanh
            arrays |= {"bias": (2 * units,), "candidate_bias": (units,)}
    if isinstance(layer, LstmLayer) and layer.projection_units:
        arrays["projection"] = (units, layer.projection_units)
    if isinstance(layer, LstmLayer) and layer.peepholes:
        arrays |= {f"peephole_{gate}": (units,) for gate in "ifo"}
    return arrays
