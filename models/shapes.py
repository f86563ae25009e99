"""The shape of every tensor of a network, and of every weight array: what fits what, decided before any number exists.

Refuses descriptions whose layers contradict each other, naming the layer. Knows no torch, no values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod

from cellserve.models.clock import Clock, Fed, ShiftingLayer, change_of
from cellserve.models.errors import InvalidSpec
from cellserve.models.input_clocks import input_clocks
from cellserve.models.layer_arrays import layer_arrays
from cellserve.models.spec import (
    Conv1dLayer,
    DenseLayer,
    EmbeddingLayer,
    FlattenLayer,
    GlobalPooling1dLayer,
    InputSpec,
    LastStepLayer,
    LayerSpec,
    MaskingLayer,
    MergeLayer,
    ModelSpec,
    RecurrentLayer,
    RepeatVectorLayer,
    ReverseLayer,
)


@dataclass(frozen=True, slots=True)
class TensorShape:
    """`sequence`: [B, T, *features], else a vector [B, *features]; ids have no features. `time_steps`: T where it is fixed.

    `clock`: of a sequence, its steps by those that were fed.
    """

    sequence: bool
    features: tuple[int, ...]
    time_steps: int | None = None
    clock: Clock = field(default=Clock(), compare=False)

    def __str__(self) -> str:
        time = ("time" if self.time_steps is None else str(self.time_steps),) if self.sequence else ()
        return "[" + ", ".join(("batch", *time, *map(str, self.features))) + "]"


def infer_shapes(spec: ModelSpec) -> dict[str, TensorShape]:
    """The shape of every tensor reference, final states ("lstm:h") included.

    Raises InvalidSpec: a layer whose inputs it cannot take, in a sentence that names it.
    """
    clocks = input_clocks(spec)
    shapes = {entry.name: _input_shape(entry, clocks.get(entry.name, Clock())) for entry in spec.inputs}
    for layer in spec.layers:
        inputs = tuple(shapes[reference] for reference in layer.inputs)
        shapes[layer.name] = _output_shape(layer, inputs)
        if isinstance(layer, RecurrentLayer):
            for state, width in layer.state_widths.items():
                shapes[f"{layer.name}:{state}"] = TensorShape(False, (width,))
    return shapes


def required_steps(spec: ModelSpec) -> tuple[int | None, ...]:
    """For each input the number of time steps that every row must have, None where any number will do (`fewest_steps`).

    Flatten needs it, and so does a merge of sequences on different clocks, such as an input's steps with a RepeatVector's.
    Raises InvalidSpec where the layers do not fit together.
    """
    shapes, clocks = infer_shapes(spec), input_clocks(spec)
    if not clocks:
        return (1,) * len(spec.inputs)
    required: dict[int, int] = {}
    for layer in spec.layers:
        sequences = [shapes[reference] for reference in layer.inputs if shapes[reference].sequence]
        mixed = isinstance(layer, MergeLayer) and len({shape.clock for shape in sequences}) > 1
        if not (mixed or isinstance(layer, FlattenLayer)):
            continue
        for clock in (shape.clock for shape in sequences if shape.clock.count is None):
            fixed = [shape.time_steps for shape in sequences if shape.time_steps is not None and not shape.clock.changes]
            if clock.changes or not fixed:
                fixed = [entry.time_steps for entry in _fed_alike(spec, clocks, clock) if entry.time_steps is not None]
            required.setdefault(clock.source, fixed[0])
    return tuple(required.get(clocks[entry.name].source) if entry.name in clocks else None for entry in spec.inputs)


def fewest_steps(spec: ModelSpec) -> tuple[int, ...]:
    """For each input the fewest time steps that a row may have: 1, or more where a window of a convolution or pooling must fit.

    Raises InvalidSpec where the layers do not fit together.
    """
    shapes, clocks = infer_shapes(spec), input_clocks(spec)
    fed = [shape.clock for shape in shapes.values() if shape.sequence and shape.clock.count is None]
    return tuple(
        max(clock.fewest for clock in fed if clock.source == clocks[entry.name].source) if entry.name in clocks else 1
        for entry in spec.inputs
    )


def required_time_steps(spec: ModelSpec) -> int | None:
    """Of `required_steps` that of the first input for which there is one."""
    return next((steps for steps in required_steps(spec) if steps is not None), None)


def minimum_time_steps(spec: ModelSpec) -> int:
    """The largest of `fewest_steps`: with so many no input of a row is too short."""
    return max(fewest_steps(spec))


def fitting(spec: ModelSpec, steps: int) -> Fed:
    """A row of `steps` time steps, but for inputs that must have a number of their own."""
    required = required_steps(spec)
    if len(set(required)) == 1:
        return steps
    return tuple(steps if own is None else own for own in required)


def _fed_alike(spec: ModelSpec, clocks: Mapping[str, Clock], clock: Clock) -> list[InputSpec]:
    return [entry for entry in spec.inputs if entry.name in clocks and clocks[entry.name].source == clock.source]


def expected_weights(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Every array that the network needs, by canonical name ("<layer>.kernel"), with its shape."""
    shapes = infer_shapes(spec)
    return {
        f"{layer.name}.{array}": shape
        for layer in spec.layers
        for array, shape in layer_arrays(layer, shapes[layer.inputs[0]].features[-1:]).items()
    }


def _input_shape(entry: InputSpec, clock: Clock) -> TensorShape:
    features = () if entry.width is None else (entry.width,)
    if entry.kind == "vector":
        return TensorShape(False, features)
    return TensorShape(True, features, entry.time_steps, clock)


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
    if not layer.return_sequences:
        return TensorShape(False, (layer.output_units,))
    return replace(sequence, features=(layer.output_units,))


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
    if layer.mode == "subtract" and len(inputs) != 2:
        raise InvalidSpec(f"layer {layer.name!r} (merge, subtract) takes two inputs, not {len(inputs)}")
    first, steps = _features(layer, inputs[0]), {shape.time_steps for shape in inputs if shape.time_steps is not None}
    listed = ", ".join(map(str, inputs))
    if len({shape.sequence for shape in inputs}) > 1 or len(steps) > 1:
        raise InvalidSpec(f"layer {layer.name!r} (merge) cannot merge tensors of different kinds or numbers of steps: {listed}")
    _require_one_clock(layer, inputs)
    common = {shape.features[:-1] if layer.mode == "concat" else shape.features for shape in inputs}
    if len(common) > 1 or len({len(shape.features) for shape in inputs}) > 1:
        raise InvalidSpec(f"layer {layer.name!r} (merge, {layer.mode}) takes tensors of one shape, but its inputs are {listed}")
    last = sum(shape.features[-1] for shape in inputs) if layer.mode == "concat" else first.features[-1]
    return replace(first, features=(*first.features[:-1], last), time_steps=next(iter(steps), None))


def _require_one_clock(layer: MergeLayer, inputs: tuple[TensorShape, ...]) -> None:
    """Sequences on different clocks have equally many steps only where the model's time dimension is fixed."""
    clocks = {shape.clock for shape in inputs if shape.sequence}
    unknown = [shape for shape in inputs if shape.sequence and shape.time_steps is None]
    if len(clocks) > 1 and unknown and (any(clock.changes for clock in clocks) or len(unknown) == len(inputs)):
        raise InvalidSpec(
            f"layer {layer.name!r} (merge) joins sequences of which one was shortened or lengthened on the way; their numbers of "
            "steps agree only for one length: fix the time dimension of the model's input (time_steps)"
        )


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
    return TensorShape(True, inputs[0].features, layer.count, Clock(layer.count))


def _windowed(layer: ShiftingLayer, inputs: tuple[TensorShape, ...]) -> TensorShape:
    shape, change = _features(layer, _sequence(layer, inputs[0])), change_of(layer)
    if len(shape.features) != 1:
        raise InvalidSpec(f"layer {layer.name!r} ({layer.kind}) takes [batch, time, features], but its input is {shape}")
    steps = None if shape.time_steps is None else change.steps(shape.time_steps)
    if steps == 0:
        raise InvalidSpec(
            f"layer {layer.name!r} ({layer.kind}): its window does not fit into the {shape.time_steps} steps it is given"
        )
    features = (layer.units,) if isinstance(layer, Conv1dLayer) else shape.features
    return replace(shape, features=features, time_steps=steps, clock=shape.clock.then(change))


def _global_pooling(layer: GlobalPooling1dLayer, inputs: tuple[TensorShape, ...]) -> TensorShape:
    return TensorShape(False, _features(layer, _sequence(layer, inputs[0])).features)


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
    "jzs": _recurrent,
    "simple_deep_rnn": _recurrent,
    "embedding": _embedding,
    "dense": _dense,
    "activation": _unchanged,
    "prelu": _unchanged,
    "dropout": _unchanged,
    "batch_normalization": _unchanged,
    "layer_normalization": _unchanged,
    "unit_normalization": _unchanged,
    "masking": _masking,
    "reverse": _reverse,
    "last_step": _last_step,
    "conv1d": _windowed,
    "pooling_1d": _windowed,
    "global_pooling_1d": _global_pooling,
    "padding_1d": _windowed,
    "merge": _merge,
    "flatten": _flatten,
    "repeat_vector": _repeat_vector,
}
