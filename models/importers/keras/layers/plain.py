"""Keras's layers around the recurrence, each as canonical layers and a claim on its arrays.

Options come under the names of Keras 2 (configuration/legacy). Sources: keras-team/keras 0.1.0 to 2.3.1, tf-keras, Keras 3. Knows
no files, no recurrence (recurrent) and no windows of time (windows).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from cellserve.models.description.layers.activation import Activation
from cellserve.models.description.layers.merge import MergeLayer
from cellserve.models.description.layers.rows import FlattenLayer, RepeatVectorLayer
from cellserve.models.description.layers.stepwise import (
    ActivationLayer,
    BatchNormalizationLayer,
    DenseLayer,
    DropoutLayer,
    EmbeddingLayer,
    LayerNormalizationLayer,
    MaskingLayer,
    PReluLayer,
    UnitNormalizationLayer,
)
from cellserve.models.importers.keras import quantized
from cellserve.models.importers.keras.graph import Builder, Graph, KerasLayer, Tensor
from cellserve.models.importers.keras.layers import legacy_layout
from cellserve.models.importers.keras.layers.activations import activation_layer, activation_of
from cellserve.models.importers.keras.layers.affine import AFFINE
from cellserve.models.importers.keras.layers.attention import ATTENTION
from cellserve.models.importers.keras.layers.axes import AXES
from cellserve.models.importers.keras.layers.planes import PLANES
from cellserve.models.importers.keras.layers.windows import WINDOWS
from cellserve.models.importers.keras.mask_logic import EVERYTHING, MaskLogic, all_of, any_of, where


def _dense(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "units", "activation", "use_bias", "quantization_config")
    config, source = keras.config, graph.only(keras, inputs)
    layer = DenseLayer(
        name=keras.spec_name,
        inputs=(source.reference,),
        units=config["units"],
        use_bias=config.get("use_bias", True),
        activation=activation_of(config.get("activation"), graph.era, graph.source, keras.name),
    )
    quantized.claim(graph, keras, layer, source, part)
    return graph.add(layer, sequence=source.sequence, masks=source.masks)


def _function(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    """Activation, LeakyReLU, ELU, ReLU, Softmax."""
    graph.check(keras, "activation", "alpha", "negative_slope", "max_value", "threshold", "theta", "axis")
    source = graph.only(keras, inputs)
    found = activation_layer(keras.class_name, keras.config, graph.source, keras.name)
    if found is None and keras.class_name == "Softmax":
        _require_last_axis(graph, keras, source)
        if source.masks and not graph.era.is_standalone:
            graph.refuse(
                keras,
                "Softmax of a masked sequence lets the mask change its values, which is not supported; use Activation('softmax')",
            )
        found = Activation(name="softmax")
    if found is None:
        found = activation_of(keras.config.get("activation"), graph.era, graph.source, keras.name)
    layer = ActivationLayer(name=keras.spec_name, inputs=(source.reference,), activation=found)
    return graph.add(layer, sequence=source.sequence, masks=source.masks)


def _dropout(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    """Dropout and its variants: the identity outside training."""
    graph.check(keras, "rate", "p", "stddev", "data_format")
    source = graph.only(keras, inputs)
    rate = float(keras.config.get("rate", keras.config.get("p", 0.0)) or 0.0)
    scaled = keras.class_name == "Dropout" and rate > 0 and graph.era.scales_dropout_outside_training
    if scaled:
        graph.notes.say(f"{keras.name}: Keras {graph.era.version} multiplies by 1 - {rate} outside training, and so does this.")
    else:
        graph.notes.record("Dropout layers", keras.name)
    layer = DropoutLayer(name=keras.spec_name, inputs=(source.reference,), rate=rate, scale=1 - rate if scaled else 1.0)
    return graph.add(layer, sequence=source.sequence, masks=source.masks)


def _batch_normalization(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "axis", "epsilon", "center", "scale", "renorm", "virtual_batch_size", "mode")
    config, source = keras.config, graph.only(keras, inputs)
    _require_last_axis(graph, keras, source)
    if config.get("renorm") or config.get("virtual_batch_size"):
        graph.refuse(keras, "renorm and virtual_batch_size are not supported; save the model with plain batch normalization")
    if config.get("mode"):
        graph.refuse(keras, "only mode 0, with the statistics of training, is supported", "mode")
    epsilon = float(config.get("epsilon", 1e-6 if graph.era.release < (1, 0, 6) else 1e-3))
    layer = BatchNormalizationLayer(
        name=keras.spec_name,
        inputs=(source.reference,),
        epsilon=0.0 if graph.era.keeps_deviations else epsilon,
        center=config.get("center", True),
        scale=config.get("scale", True),
    )
    deviations = partial(legacy_layout.batch_normalization_of_deviations, epsilon=epsilon)
    graph.claim(layer, keras, layer.scale + layer.center + 2, part, convert=deviations if graph.era.keeps_deviations else None)
    return graph.add(layer, sequence=source.sequence, masks=source.masks)


def _layer_normalization(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "axis", "epsilon", "center", "scale", "rms_scaling")
    config, source = keras.config, graph.only(keras, inputs)
    _require_last_axis(graph, keras, source)
    if config.get("rms_scaling"):
        graph.refuse(keras, "normalization by the root mean square is not supported yet", "rms_scaling")
    layer = LayerNormalizationLayer(
        name=keras.spec_name,
        inputs=(source.reference,),
        epsilon=config.get("epsilon", 1e-3),
        center=config.get("center", True),
        scale=config.get("scale", True),
    )
    graph.claim(layer, keras, layer.scale + layer.center, part)
    return graph.add(layer, sequence=source.sequence, masks=source.masks)


def _unit_normalization(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    """tf.keras, and Keras 3 up to 3.5, bound the square of the length by 1e-12, later releases the length itself."""
    graph.check(keras, "axis")
    source = graph.only(keras, inputs)
    _require_last_axis(graph, keras, source)
    epsilon = 1e-6 if graph.era.release < (3, 6, 0) else 1e-12
    layer = UnitNormalizationLayer(name=keras.spec_name, inputs=(source.reference,), epsilon=epsilon)
    return graph.add(layer, sequence=source.sequence, masks=source.masks)


def _embedding(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "input_dim", "output_dim", "mask_zero", "quantization_config")
    config, source = keras.config, graph.only(keras, inputs)
    if "mask_zero" not in config and (0, 1, 2) <= graph.era.release < (0, 2, 0):
        graph.refuse(
            keras,
            f'Keras {graph.era.version} did not write this option down, and it changes the answers; add `"mask_zero": true` or '
            "`false` to this layer of the --architecture, as the program had it",
            "mask_zero",
        )
    layer = EmbeddingLayer(
        name=keras.spec_name,
        inputs=(source.reference,),
        vocabulary=config["input_dim"],
        units=config["output_dim"],
        mask_zero=config.get("mask_zero", False),
    )
    quantized.claim(graph, keras, layer, source, part)
    masks = where("not_equal", source.reference, 0.0) if layer.mask_zero else EVERYTHING
    return graph.add(layer, sequence=True, masks=masks)


def _masking(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "mask_value")
    source = graph.only(keras, inputs)
    if source.masks:
        graph.refuse(
            keras, "a Masking layer on an already masked sequence replaces its mask, which is not supported; use one of the two"
        )
    value = float(keras.config.get("mask_value", 0.0))
    layer = MaskingLayer(name=keras.spec_name, inputs=(source.reference,), mask_value=value)
    return graph.add(layer, sequence=True, masks=where("any_not_equal", source.reference, value))


def _flatten(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "data_format")
    source = graph.only(keras, inputs)
    if keras.config.get("data_format") == "channels_first":
        graph.refuse(
            keras, "channels_first moves the axes before flattening, which is not supported; use channels_last", "data_format"
        )
    return graph.add(FlattenLayer(name=keras.spec_name, inputs=(source.reference,)), sequence=False)


def _repeat_vector(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "n")
    source = graph.only(keras, inputs)
    return graph.add(RepeatVectorLayer(name=keras.spec_name, inputs=(source.reference,), count=keras.config["n"]), sequence=True)


def _prelu(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "shared_axes")
    source = graph.only(keras, inputs)
    layer = PReluLayer(name=keras.spec_name, inputs=(source.reference,))
    graph.claim(layer, keras, 1, part, convert=legacy_layout.prelu)
    return graph.add(layer, sequence=source.sequence, masks=source.masks)


def _merge(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    graph.check(keras, "axis")
    if keras.class_name == "Concatenate":
        _require_last_axis(graph, keras, inputs[0])
    masks, where_counted = [one.masks for one in inputs], graph.era.merges_count_where
    if not any(masks) or (where_counted == "any" and len(set(masks)) == 1 and keras.class_name not in MASKED_VALUES):
        where_counted = "all"  # which is the same then
    if where_counted == "always":
        graph.notes.say(f"{keras.name}: the masks of its inputs end here, as they do in Keras {graph.era.version}.")
    layer = MergeLayer.model_validate(
        {
            "name": keras.spec_name,
            "inputs": [one.reference for one in inputs],
            "mode": MERGES[keras.class_name],
            "counts_where": where_counted,
        }
    )
    return graph.add(layer, sequence=inputs[0].sequence, masks=COMBINED[where_counted](masks))


def _time_distributed(graph: Graph, keras: KerasLayer, inputs: Sequence[Tensor], part: tuple[str, ...]) -> Tensor:
    """The inner layer at every step, which is what those allowed here do with a sequence anyway."""
    graph.check(keras, "layer")
    inside = graph.inside(keras, keras.config["layer"])
    class_name = inside.class_name
    if class_name not in STEPWISE:
        graph.refuse(
            keras,
            f"TimeDistributed({class_name}) is not supported; the layers that may be inside are {', '.join(sorted(STEPWISE))}",
        )
    if class_name in ("BatchNormalization", "LayerNormalization", "Softmax") and inside.config.get("axis", -1) not in (
        -1,
        [-1],
        1,
        [1],
    ):
        graph.refuse(keras, f"TimeDistributed({class_name}) works only along the last axis", "axis")
    at_steps = replace(inside, config={**inside.config, **({"axis": -1} if "axis" in inside.config else {})})
    return BUILDERS[class_name](graph, at_steps, inputs, (*part, "layer"))


def _require_last_axis(graph: Graph, keras: KerasLayer, source: Tensor) -> None:
    """An axis is counted with that of time, but within a step, which knows none."""
    axis = keras.config.get("axis", -1)
    axes = list(axis) if isinstance(axis, list | tuple) else [axis]
    last = max(1, len(graph.shape(source).features)) + (source.sequence and not keras.in_steps)
    if axes not in ([-1], [last]):
        graph.refuse(keras, f"{keras.class_name} along axis {axis} is not supported; only the last axis is", "axis")


MERGES: Final = {
    "Concatenate": "concat",
    "Add": "sum",
    "Multiply": "multiply",
    "Average": "average",
    "Subtract": "subtract",
    "Maximum": "maximum",
    "Minimum": "minimum",
}
COMBINED: Final[dict[str, Callable[[list[MaskLogic]], MaskLogic]]] = {
    "all": all_of,
    "any": any_of,
    "always": lambda masks: EVERYTHING,
}
MASKED_VALUES: Final = ("Multiply", "Maximum", "Minimum")  # in Keras 3, masks change what these make
DROPOUTS: Final = ("Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization")
FUNCTIONS: Final = ("Activation", "LeakyReLU", "ELU", "ReLU", "ThresholdedReLU", "Softmax")
STEPWISE: Final = frozenset({"Dense", "BatchNormalization", "LayerNormalization", *FUNCTIONS, *DROPOUTS} - {"SpatialDropout1D"})

BUILDERS: Final[dict[str, Builder]] = {
    "Dense": _dense,
    "BatchNormalization": _batch_normalization,
    "LayerNormalization": _layer_normalization,
    "UnitNormalization": _unit_normalization,
    "Embedding": _embedding,
    "Masking": _masking,
    "Flatten": _flatten,
    "RepeatVector": _repeat_vector,
    "TimeDistributed": _time_distributed,
    "PReLU": _prelu,
    **AFFINE,
    **ATTENTION,
    **AXES,
    **PLANES,
    **WINDOWS,
    **dict.fromkeys(MERGES, _merge),
    **dict.fromkeys(FUNCTIONS, _function),
    **dict.fromkeys(DROPOUTS, _dropout),
}
