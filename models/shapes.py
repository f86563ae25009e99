"""The shape of every tensor of a network, and of every weight array: what fits what, decided before any number exists.

Refuses descriptions whose layers contradict each other, naming the layer. Knows no torch, no values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

from cellserve.models.errors import InvalidSpec
from cellserve.models.spec import (
    BatchNormalizationLayer,
    DenseLayer,
    EmbeddingLayer,
    FlattenLayer,
    GruLayer,
    InputSpec,
    LastStepLayer,
    LayerNormalizationLayer,
    LayerSpec,
    LstmLayer,
    MaskingLayer,
    MergeLayer,
    ModelSpec,
    RecurrentLayer,
    RepeatVectorLayer,
    ReverseLayer,
    SimpleRnnLayer,
)


@dataclass(frozen=True, slots=True)
class TensorShape:
    """`sequence`: [B, T, *features], else a vector [B, *features]; ids have no features. `time_steps`: T where it is fixed."""

    sequence: bool
    features: tuple[int, ...]
    time_steps: int | None = None

    def __str__(self) -> str:
        time = ("time" if self.time_steps is None else str(self.time_steps),) if self.sequence else ()
        return "[" + ", ".join(("batch", *time, *map(str, self.features))) + "]"


def infer_shapes(spec: ModelSpec) -> dict[str, TensorShape]:
    """The shape of every tensor reference, final states ("lstm:h") included.

    Raises InvalidSpec: a layer whose inputs it cannot take, in a sentence that names it.
    """
    shapes = {entry.name: _input_shape(entry) for entry in spec.inputs}
    for layer in spec.layers:
        inputs = tuple(shapes[reference] for reference in layer.inputs)
        shapes[layer.name] = _output_shape(layer, inputs)
        if isinstance(layer, RecurrentLayer):
            for state, width in layer.state_widths.items():
                shapes[f"{layer.name}:{state}"] = TensorShape(False, (width,))
    return shapes


def required_time_steps(spec: ModelSpec) -> int | None:
    """The number of time steps that every sequence must have, or None where any number will do.

    Flatten needs it, and so does a merge of an input's steps with those of a RepeatVector.
    Raises InvalidSpec where the layers do not fit together.
    """
    shapes = infer_shapes(spec)
    fed: set[str] = {entry.name for entry in spec.inputs if entry.kind != "vector"}  # sequences on the input's own clock
    for layer in spec.layers:
        clocks = {reference in fed for reference in layer.inputs if shapes[reference].sequence}
        mixed = isinstance(layer, MergeLayer) and len(clocks) == 2
        if clocks and (mixed or (isinstance(layer, FlattenLayer) and True in clocks)):
            return next(steps for reference in layer.inputs if (steps := shapes[reference].time_steps) is not None)
        if shapes[layer.name].sequence and True in clocks:
            fed.add(layer.name)
    return None


def expected_weights(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Every array that the network needs, by canonical name ("<layer>.kernel"), with its shape."""
    shapes = infer_shapes(spec)
    return {
        f"{layer.name}.{array}": shape
        for layer in spec.layers
        for array, shape in _layer_weights(layer, shapes[layer.inputs[0]]).items()
    }


def _input_shape(entry: InputSpec) -> TensorShape:
    features = () if entry.width is None else (entry.width,)
    if entry.kind == "vector":
        return TensorShape(False, features)
    return TensorShape(True, features, entry.time_steps)


def _output_shape(layer: LayerSpec, inputs: tuple[TensorShape, ...]) -> TensorShape:
    if not isinstance(layer, MergeLayer | RecurrentLayer) and len(inputs) != 1:
        raise InvalidSpec(f"layer {layer.name!r} ({layer.kind}) takes one input, not {len(inputs)}")
    return _RULES[layer.kind](layer, inputs)


def _recurrent(layer: RecurrentLayer, inputs: tuple[TensorShape, ...]) -> TensorShape:
    sequence = _sequence(layer, inputs[0])
    _features(layer, sequence)
    initial, widths = inputs[1:], layer.state_widths
    if initial and len(initial) != len(widths):
        raise InvalidSpec(
            f"layer {layer.name!r} ({layer.kind}) takes {len(widths)} initial states ({', '.join(widths)}), not {len(initial)}"
        )
    for (state, width), shape in zip(widths.items(), initial):
        if shape != TensorShape(False, (width,)):
            raise InvalidSpec(f"layer {layer.name!r}: its initial state {state} is [batch, {width}], but its input is {shape}")
    steps = sequence.time_steps if layer.return_sequences else None
    return TensorShape(layer.return_sequences, (layer.output_units,), steps)


def _embedding(layer: EmbeddingLayer, inputs: tuple[TensorShape, ...]) -> TensorShape:
    shape = _sequence(layer, inputs[0])
    if shape.features:
        raise InvalidSpec(f"layer {layer.name!r} (embedding) takes ids [batch, time], but its input is {shape}")
    return replace(shape, features=(layer.units,))


def _dense(layer: DenseLayer, inputs: tuple[TensorShape, ...]) -> TensorShape:
    shape = _features(layer, inputs[0])
    return replace(shape, features=(*shape.features[:-1], layer.units))


def _unchanged(layer: LayerSpec, inputs: tuple[TensorShape, ...]) -> TensorShape:
    return _features(layer, inputs[0])


def _masking(layer: MaskingLayer, inputs: tuple[TensorShape, ...]) -> TensorShape:
    return _features(layer, _sequence(layer, inputs[0]))


def _reverse(layer: ReverseLayer, inputs: tuple[TensorShape, ...]) -> TensorShape:
    return _sequence(layer, inputs[0])


def _last_step(layer: LastStepLayer, inputs: tuple[TensorShape, ...]) -> TensorShape:
    return TensorShape(False, _features(layer, _sequence(layer, inputs[0])).features)


def _merge(layer: MergeLayer, inputs: tuple[TensorShape, ...]) -> TensorShape:
    if len(inputs) < 2:
        raise InvalidSpec(f"layer {layer.name!r} (merge) takes two inputs or more, not {len(inputs)}")
    first, steps = _features(layer, inputs[0]), {shape.time_steps for shape in inputs if shape.time_steps is not None}
    listed = ", ".join(map(str, inputs))
    if len({shape.sequence for shape in inputs}) > 1 or len(steps) > 1:
        raise InvalidSpec(f"layer {layer.name!r} (merge) cannot merge tensors of different kinds or numbers of steps: {listed}")
    common = {shape.features[:-1] if layer.mode == "concat" else shape.features for shape in inputs}
    if len(common) > 1 or len({len(shape.features) for shape in inputs}) > 1:
        raise InvalidSpec(f"layer {layer.name!r} (merge, {layer.mode}) takes tensors of one shape, but its inputs are {listed}")
    last = sum(shape.features[-1] for shape in inputs) if layer.mode == "concat" else first.features[-1]
    return TensorShape(first.sequence, (*first.features[:-1], last), next(iter(steps), None))


def _flatten(layer: FlattenLayer, inputs: tuple[TensorShape, ...]) -> TensorShape:
    shape = _features(layer, inputs[0])
    if not shape.sequence:
        return TensorShape(False, (prod(shape.features),))
    if shape.time_steps is None:
        raise InvalidSpec(f"layer {layer.name!r} (flatten) needs a fixed number of time steps, but its input is {shape}")
    return TensorShape(False, (shape.time_steps * prod(shape.features),))


def _repeat_vector(layer: RepeatVectorLayer, inputs: tuple[TensorShape, ...]) -> TensorShape:
    if inputs[0].sequence:
        raise InvalidSpec(f"layer {layer.name!r} (repeat_vector) takes a vector, but its input is a sequence {inputs[0]}")
    return TensorShape(True, inputs[0].features, layer.count)


def _sequence(layer: LayerSpec, shape: TensorShape) -> TensorShape:
    if not shape.sequence:
        raise InvalidSpec(f"layer {layer.name!r} ({layer.kind}) takes a sequence, but its input is a vector {shape}")
    return shape


def _features(layer: LayerSpec, shape: TensorShape) -> TensorShape:
    if not shape.features:
        raise InvalidSpec(f"layer {layer.name!r} ({layer.kind}) takes features, but its input is ids {shape}; embed them first")
    return shape


_RULES: Mapping[str, Callable[..., TensorShape]] = {
    "lstm": _recurrent,
    "gru": _recurrent,
    "simple_rnn": _recurrent,
    "embedding": _embedding,
    "dense": _dense,
    "activation": _unchanged,
    "dropout": _unchanged,
    "batch_normalization": _unchanged,
    "layer_normalization": _unchanged,
    "masking": _masking,
    "reverse": _reverse,
    "last_step": _last_step,
    "merge": _merge,
    "flatten": _flatten,
    "repeat_vector": _repeat_vector,
}


def _layer_weights(layer: LayerSpec, shape: TensorShape) -> dict[str, tuple[int, ...]]:
    width = shape.features[-1:]
    match layer:
        case LstmLayer() | GruLayer() | SimpleRnnLayer():
            return _recurrent_weights(layer, *width)
        case EmbeddingLayer():
            return {"table": (layer.vocabulary, layer.units)}
        case DenseLayer():
            return {"kernel": (*width, layer.units)} | ({"bias": (layer.units,)} if layer.use_bias else {})
        case BatchNormalizationLayer():
            return _affine_weights(layer, width) | {"moving_mean": width, "moving_variance": width}
        case LayerNormalizationLayer():
            return _affine_weights(layer, width)
        case _:
            return {}


def _affine_weights(
    layer: BatchNormalizationLayer | LayerNormalizationLayer, width: tuple[int, ...]
) -> dict[str, tuple[int, ...]]:
    return ({"gamma": width} if layer.scale else {}) | ({"beta": width} if layer.center else {})


def _recurrent_weights(layer: RecurrentLayer, inputs: int) -> dict[str, tuple[int, ...]]:
    columns = {"lstm": 4, "gru": 3, "simple_rnn": 1}[layer.kind] * layer.units
    arrays: dict[str, tuple[int, ...]] = {"kernel": (inputs, columns), "recurrent_kernel": (layer.output_units, columns)}
    if layer.use_bias:
        arrays["bias"] = (columns,)
        if isinstance(layer, GruLayer) and layer.reset_after:
            arrays["recurrent_bias"] = (columns,)
    if isinstance(layer, LstmLayer) and layer.projection_units:
        arrays["projection"] = (layer.units, layer.projection_units)
    if isinstance(layer, LstmLayer) and layer.peepholes:
        arrays |= {f"peephole_{gate}": (layer.units,) for gate in "ifo"}
    return arrays
