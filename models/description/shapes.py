"""The shape of every tensor of a network, and of every weight array: what fits what, decided before any number exists.

Refuses descriptions whose layers contradict each other, naming the layer. Knows no torch, no values.
"""

from __future__ import annotations

from collections.abc import Mapping

from cellserve.models.description.input_clocks import input_clocks
from cellserve.models.description.step_counts import Clock, Fed
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.spec import InputSpec, ModelSpec


def infer_shapes(spec: ModelSpec) -> dict[str, TensorShape]:
    """The shape of every tensor reference, final states ("lstm:h") included.

    Raises InvalidSpec: a layer whose inputs it cannot take, in a sentence that names it.
    """
    clocks = input_clocks(spec)
    shapes = {entry.name: _input_shape(entry, clocks.get(entry.name, Clock())) for entry in spec.inputs}
    for layer in spec.layers:
        shapes[layer.name] = layer.output_shape(tuple(shapes[reference] for reference in layer.inputs))
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
        mixed = len({shape.clock for shape in sequences}) > 1
        if not (mixed or layer.needs_fixed_steps):
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
        for array, shape in layer.arrays(shapes[layer.inputs[0]].features[-1:]).items()
    }


def _input_shape(entry: InputSpec, clock: Clock) -> TensorShape:
    features = () if entry.width is None else (entry.width,)
    if entry.kind == "vector":
        return TensorShape(False, features)
    return TensorShape(True, features, entry.time_steps, clock)
