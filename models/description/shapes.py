"""The shape of every tensor of a network, and of every weight array: what fits what, decided before any number exists.

Refuses descriptions whose layers contradict each other, naming the layer. Knows no torch, no values.
"""

from __future__ import annotations

from collections.abc import Mapping

from cellserve.models.description.input_step_counts import input_step_counts
from cellserve.models.description.step_counts import Fed, StepCount
from cellserve.models.description.tensor_shape import TensorShape
from cellserve.models.spec import InputSpec, ModelSpec


def infer_shapes(spec: ModelSpec) -> dict[str, TensorShape]:
    """The shape of every tensor reference, final states ("lstm:h") included.

    Raises InvalidSpec: a layer whose inputs it cannot take, in a sentence that names it.
    """
    step_counts = input_step_counts(spec)
    shapes = {entry.name: input_shape(entry, step_counts.get(entry.name, StepCount())) for entry in spec.inputs}
    for layer in spec.layers:
        shapes[layer.name] = layer.output_shape(tuple(shapes[reference] for reference in layer.inputs))
        for state, width in layer.state_widths.items():
            shapes[f"{layer.name}:{state}"] = TensorShape(False, (width,))
    return shapes


def input_shape(entry: InputSpec, step_count: StepCount | None = None) -> TensorShape:
    """Of what is fed. `step_count`: by which its steps are counted; by default, those that were fed."""
    features = () if entry.width is None else (entry.width,)
    if entry.kind == "vector":
        return TensorShape(False, features)
    return TensorShape(True, features, entry.time_steps, step_count or StepCount(), entry.kind == "ids")


def required_steps(spec: ModelSpec) -> tuple[int | None, ...]:
    """For each input the number of time steps that every row must have, None where any number will do (`fewest_steps`).

    Flatten needs it, and so does a merge of sequences on different step counts, such as an input's steps with a RepeatVector's.
    Raises InvalidSpec where the layers do not fit together.
    """
    shapes, step_counts = infer_shapes(spec), input_step_counts(spec)
    if not step_counts:
        return (1,) * len(spec.inputs)
    required: dict[int, int] = {}
    for layer in spec.layers:
        sequences = [shapes[reference] for reference in layer.inputs if shapes[reference].sequence]
        mixed = len({shape.step_count for shape in sequences}) > 1 and not layer.inputs[layer.whole_inputs]
        if not (mixed or layer.needs_fixed_steps):
            continue
        for step_count in (shape.step_count for shape in sequences if shape.step_count.count is None):
            fixed = [shape.time_steps for shape in sequences if shape.time_steps is not None and not shape.step_count.changes]
            if step_count.changes or not fixed:
                fixed = [entry.time_steps for entry in _fed_alike(spec, step_counts, step_count) if entry.time_steps is not None]
            required.setdefault(step_count.source, fixed[0])
    return tuple(required.get(step_counts[entry.name].source) if entry.name in step_counts else None for entry in spec.inputs)


def fewest_steps(spec: ModelSpec) -> tuple[int, ...]:
    """For each input the fewest time steps that a row may have: 1, or more where a window of a convolution or pooling must fit.

    Raises InvalidSpec where the layers do not fit together.
    """
    shapes, step_counts = infer_shapes(spec), input_step_counts(spec)
    fed = [shape.step_count for shape in shapes.values() if shape.sequence and shape.step_count.count is None]
    return tuple(
        max(step_count.fewest for step_count in fed if step_count.source == step_counts[entry.name].source)
        if entry.name in step_counts
        else 1
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


def _fed_alike(spec: ModelSpec, step_counts: Mapping[str, StepCount], step_count: StepCount) -> list[InputSpec]:
    return [entry for entry in spec.inputs if entry.name in step_counts and step_counts[entry.name].source == step_count.source]


def expected_weights(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """Every array that the network needs, by canonical name ("<layer>.kernel"), with its shape."""
    shapes = infer_shapes(spec)
    return {
        f"{layer.name}.{array}": shape
        for layer in spec.layers
        for array, shape in layer.arrays(shapes[layer.inputs[0]].features[-1:]).items()
    }
